"""A build hook that writes the commit into the wheel and the sdist."""

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):
    """Adds `commit.txt` beside `commit.py` in a git checkout. A wheel built from an sdist has the sdist's file."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Hatch calls this before it collects the files."""
        if commit := runpy.run_path(f"{self.root}/src/orchboard/commit.py")["commit_of"](Path(self.root)):
            self.directory = tempfile.TemporaryDirectory()
            file = Path(self.directory.name, "commit.txt")
            file.write_text(f"{commit}\n")
            prefix = "src/" if self.target_name == "sdist" else ""
            build_data["force_include"][str(file)] = f"{prefix}orchboard/commit.txt"
