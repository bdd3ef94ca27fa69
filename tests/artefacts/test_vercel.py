"""What `vercel build` makes of the project answers requests. Needs the `vercel` command: `make vercel` installs it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.applications import status_of_an_application

ROOT = Path(__file__).parent.parent
VERCEL = shutil.which("vercel")

# Vercel's own glue code wants Python 3.12; with an older one something of that name stands in. It is not called here.
RUNTIME = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "vercel-runtime"
version = "0"
[tool.hatch.build.targets.wheel]
packages = ["vercel_runtime"]
"""


@pytest.mark.timeout(600)
@pytest.mark.skipif(
    VERCEL is None, reason="there is no `vercel` command: `make vercel` installs it and runs this"
)
def test_vercel_builds_an_application_that_answers(tmp_path: Path, database_url: str) -> None:
    assert VERCEL
    project, runtime, built = tmp_path / "project", tmp_path / "runtime", tmp_path / "built"
    for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"):
        project.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, project)
    shutil.copytree(ROOT / "src", project / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "docs", project / "docs")
    (project / ".vercel").mkdir()
    settings = {"projectId": "x", "orgId": "x", "settings": {"framework": "python"}}
    (project / ".vercel/project.json").write_text(json.dumps(settings))
    (runtime / "vercel_runtime").mkdir(parents=True)
    (runtime / "vercel_runtime/__init__.py").touch()
    (runtime / "pyproject.toml").write_text(RUNTIME)
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",  # uv is there
        "HOME": str(tmp_path),
        "VERCEL_TELEMETRY_DISABLED": "1",
        **(
            {"VERCEL_RUNTIME_PYTHON": f"vercel-runtime @ {runtime.as_uri()}"}
            if sys.version_info < (3, 12)
            else {}
        ),
    }
    done = subprocess.run(
        [VERCEL, "build", "--yes", "--token", "x"],
        cwd=project, env=environment, capture_output=True, text=True, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    function = project / ".vercel/output/functions/python.func"
    files = json.loads((function / ".vc-config.json").read_text())["filePathMap"]
    for name, source in files.items():
        (built / name).parent.mkdir(parents=True, exist_ok=True)
        (built / name).symlink_to(project / source)
    handler = (function / "vc__handler__python.py").read_text()
    assert '"__VC_HANDLER_MODULE_NAME": "src.orchboard.vercel"' in handler
    assert (
        status_of_an_application("src.orchboard.vercel", "app", built, built / "_vendor", database_url)
        == "200"
    )
