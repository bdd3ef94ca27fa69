"""The duties of process 1 in a container: forward signals, reap orphaned processes."""

import os
import signal

_FORWARDED = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)

# The si_code of a terminal's signals, which the server receives too.
_SI_KERNEL = 0x80

# Descriptors above standard error: sockets passed to the server.
_FIRST_FD, _LAST_FD = 3, 1024


def fork_from_init() -> None:
    """In process 1: return in a child process, and act as its init here: forward signals, reap orphans, exit with its status.

    In other processes: do nothing. Call it before threads are started. The init is a separate process because a server
    that reaps every child would take the exit statuses that subprocess and multiprocessing wait for.
    """
    if os.getpid() != 1:
        return
    watched = {signal.SIGCHLD, *_FORWARDED}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, watched)
    server = os.fork()
    if server == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if os.environ.get("LISTEN_PID") == "1":
            os.environ["LISTEN_PID"] = str(os.getpid())
        return
    os.closerange(_FIRST_FD, _LAST_FD)
    while (exit_code := _reap(server)) is None:
        received = signal.sigwaitinfo(watched)
        if received.si_signo in _FORWARDED and received.si_code != _SI_KERNEL:
            os.kill(server, received.si_signo)
    os._exit(exit_code)


def _reap(server: int) -> int | None:
    """Reap all ended processes; the exit code of the server if it is one of them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == server:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if pid == 0:
            return None
