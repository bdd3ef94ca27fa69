"""Entry point of the binary. It replaces the interpreter and the script that pip installs.

The server starts `sys.executable` again, which is the binary: as `EXECUTABLE -I -S FILE …` for the child that becomes
Postgres, and as multiprocessing does for workers.
"""

import multiprocessing
import os
import runpy
import shutil
import sys
from collections.abc import Mapping
from multiprocessing import spawn
from pathlib import Path
from typing import Any

# Path of the one-file launcher, set by the launcher. A restart runs that file, which may be a newer version by then.
PROGRAM = "ORCHBOARD_PROGRAM"

# Items of multiprocessing's data that tell a worker where to import from.
_OF_THE_SUPERVISOR = {"sys_path", "init_main_from_path", "init_main_from_name"}
_prepare = spawn.prepare


def restore_environment() -> None:
    """Remove the variables of PyInstaller's bootloader, so that child programs do not load its libraries."""
    before = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
    os.environ.pop("LD_LIBRARY_PATH", None)
    if before:
        os.environ["LD_LIBRARY_PATH"] = before
    for name in [name for name in os.environ if name.startswith("_PYI_")]:
        del os.environ[name]


def path_as_called() -> str:
    """Return the absolute path by which this program was called. Links are not resolved: they may lead to a newer version."""
    called = os.environ.pop(PROGRAM, None) or sys.argv[0]
    return str(Path(called if os.sep in called else shutil.which(called) or sys.executable).absolute())


def prepare_worker(data: Mapping[str, Any]) -> None:
    """Prepare a worker. It imports from its own directory, because the supervisor may have another version."""
    _prepare({name: value for name, value in data.items() if name not in _OF_THE_SUPERVISOR})


def main() -> None:
    """Run the file, the worker or the command that the arguments name."""
    restore_environment()
    if sys.argv[1:3] == ["-I", "-S"]:
        del sys.argv[:3]
        runpy.run_path(sys.argv[0], run_name="__main__")
        return
    sys.argv[0] = path_as_called()
    spawn.prepare = prepare_worker
    multiprocessing.freeze_support()
    multiprocessing.set_executable(sys.argv[0])  # a new worker has the version that is installed by then
    from orchboard.cli import main as run

    run()


main()
