"""A program that becomes a PostgreSQL program: drops root's rights, and asks for a signal when its parent ends.

Runs by path in a new interpreter and is never imported: both steps happen between fork and exec, and Python code in a
fork of a process with threads can hang.

Arguments: uid, gid, pid of the parent, program, arguments of the program.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def become(uid: int, gid: int, parent: int, program: list[str]) -> None:
    """Replace this process by the program. As root, with the rights of the given user only."""
    os.setsid()  # else Ctrl-C in the parent's terminal would stop Postgres before its clients
    os.umask(0o077)
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":
        # After setuid, which clears the setting. SIGINT is Postgres's fast shutdown.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGINT), 0, 0, 0)
        if os.getppid() != parent:
            sys.exit("the process that started this one has ended already")
    os.execv(program[0], program)  # noqa: S606 - a Postgres program by full path


if __name__ == "__main__":
    try:
        become(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
    except OSError as error:
        sys.exit(f"error: {sys.argv[4]} can't be run as user id {sys.argv[1]}: {error.strerror}")
