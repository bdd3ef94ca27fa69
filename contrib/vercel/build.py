"""Build dist/vercel/function as Vercel does, without an account: `make vercel`.

Copies the files that git tracks to dist/vercel/project, runs `vercel build` there with Python 3.12, and collects the files
that the output lists for the function.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
BUILT = ROOT / "dist/vercel"
_PROJECT = BUILT / "project"
_FUNCTION = BUILT / "function"


def build(vercel: Path, uv: Path) -> None:
    """Run the build. Raises CalledProcessError if it fails.

    vercel, uv -- the programs
    """
    shutil.rmtree(BUILT, ignore_errors=True)
    listed = subprocess.check_output(
        [shutil.which("git") or "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        text=True,
    )
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (_PROJECT / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, _PROJECT / name)
    # The file that `vercel link` writes for a project with an account.
    (_PROJECT / ".vercel").mkdir()
    (_PROJECT / ".vercel/project.json").write_text('{"projectId": "x", "orgId": "x", "settings": {}}')
    python = find_python(uv)
    subprocess.run(
        [vercel, "build", "--yes", "--token", "x"],
        cwd=_PROJECT,
        env={
            **os.environ,
            "PATH": f"{python.parent}:{uv.parent}:{os.environ['PATH']}",
            "HOME": str(BUILT / "home"),
            "VERCEL_TELEMETRY_DISABLED": "1",
        },
        check=True,
    )
    _collect(_PROJECT / ".vercel/output/functions/python.func")


def find_python(uv: Path) -> Path:
    """Return the path of Python 3.12 on this machine. Raises CalledProcessError if there is none.

    uv -- the program
    """
    # Without this variable, pyenv's shims start only the versions selected by the user.
    environment = {**os.environ, "PYENV_VERSION": "3.12"}
    found = subprocess.check_output(
        [uv, "python", "find", "--no-project", "3.12"], env=environment, text=True
    ).strip()
    program = "import sys; print(sys.executable)"
    return Path(subprocess.check_output([found, "-c", program], env=environment, text=True).strip())


def _collect(output: Path) -> None:
    """Collect all files of the function in one directory. The output only refers to most of them."""
    config = json.loads((output / ".vc-config.json").read_text())
    for name, source in config.pop("filePathMap").items():
        (_FUNCTION / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(_PROJECT / source, _FUNCTION / name)
    shutil.copytree(output, _FUNCTION, dirs_exist_ok=True)
    (_FUNCTION / ".vc-config.json").write_text(json.dumps(config))


if __name__ == "__main__":
    build(*(Path(name).absolute() for name in sys.argv[1:]))
