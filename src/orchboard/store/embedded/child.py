"""Becomes one Postgres program: without root's rights, and told when whoever started it dies.

Run by path in an interpreter of its own, never imported, because the two steps must be taken between
fork and exec, and Python code in a fork of a process with threads (the watcher's, the server's) can hang.

Arguments: uid, gid, the starter's pid, the program, its arguments.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def become(uid: int, gid: int, starter: int, program: list[str]) -> None:
    """Replace this process by the program; as root, with the user's rights and no others."""
    os.setsid()  # or Ctrl-C in the starter's terminal would stop Postgres before its clients
    os.umask(0o077)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After the change of user, which clears it. SIGINT is Postgres's fast shutdown.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
        if os.getppid() != starter:
            sys.exit("the process that started this one is gone already")
    os.execv(program[0], program)  # noqa: S606 - a Postgres program by full path


if __name__ == "__main__":
    try:
        become(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    except OSError as error:
        sys.exit(f"error: {sys.argv[4]} can't be run as user id {sys.argv[1]}: {error.strerror}")
