"""Write the commit into the wheel and the source distribution."""

import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):
    """Adds `commit.txt` beside `commit.py` in a git checkout. A wheel built from a source distribution has that file of it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the file. Hatch calls this before it collects files."""
        if commit := runpy.run_path(f"{self.root}/src/orchboard/commit.py")["commit_of"](Path(self.root)):
            self.place = tempfile.TemporaryDirectory()
            file = Path(self.place.name, "commit.txt")
            file.write_text(f"{commit}\n")
            prefix = "src/" if self.target_name == "sdist" else ""
            build_data["force_include"][str(file)] = f"{prefix}orchboard/commit.txt"
