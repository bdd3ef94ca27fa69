"""Where the binary begins: what an interpreter and pip's script do elsewhere.

The program stands in for the interpreter it was built from, because the server starts `sys.executable` again: as
`EXECUTABLE -I -S FILE …` for the child that becomes Postgres, and as multiprocessing does for workers.
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

# Set by the one-file launcher: its own path. A restart starts that file, which may be a newer version by then.
PROGRAM = "ORCHBOARD_PROGRAM"

# What multiprocessing tells a worker to import from.
_OF_THE_SUPERVISOR = {"sys_path", "init_main_from_path", "init_main_from_name"}
_prepare = spawn.prepare


def restore_environment() -> None:
    """Take out what PyInstaller's bootloader adds for itself: programs that we start must not load its libraries."""
    before = os.environ.pop("LD_LIBRARY_PATH_ORIG", None)
    os.environ.pop("LD_LIBRARY_PATH", None)
    if before:
        os.environ["LD_LIBRARY_PATH"] = before
    for name in [name for name in os.environ if name.startswith("_PYI_")]:
        del os.environ[name]


def path_as_called() -> str:
    """The absolute path that this program was called by; symbolic links are kept, a newer version may be behind them."""
    called = os.environ.pop(PROGRAM, None) or sys.argv[0]
    return str(Path(called if os.sep in called else shutil.which(called) or sys.executable).absolute())


def prepare_worker(data: Mapping[str, Any]) -> None:
    """Prepare a worker. It imports from its own directory: the supervisor may be of another version."""
    _prepare({name: value for name, value in data.items() if name not in _OF_THE_SUPERVISOR})


def main() -> None:
    """Run the file, the worker or the command that the arguments ask for."""
    restore_environment()
    if sys.argv[1:3] == ["-I", "-S"]:
        del sys.argv[:3]
        runpy.run_path(sys.argv[0], run_name="__main__")
        return
    sys.argv[0] = path_as_called()
    spawn.prepare = prepare_worker
    multiprocessing.freeze_support()
    multiprocessing.set_executable(sys.argv[0])  # a new worker is of the version that is installed by then
    from orchboard.cli import main as run

    run()


main()
