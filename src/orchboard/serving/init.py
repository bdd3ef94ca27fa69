"""What process 1 of a container has to do besides serving: reap the orphans that the kernel hands to it."""

import os
import signal

_FORWARDED = frozenset(
    {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2}
)

# The si_code of a terminal's signals: those reach the server without us.
_SI_KERNEL = 0x80

# Above standard error: sockets that were handed to the server.
_FIRST_FD, _LAST_FD = 3, 1024


def fork_from_init() -> None:
    """As process 1, go on in a child, and be its init here: forward signals, reap orphans, end as it ends.

    Elsewhere it does nothing. Call it before there are threads. An init of its own, because a server that reaps every
    child takes the exit statuses that subprocess and multiprocessing wait for.
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
    """Reap every process that has ended; the exit code when the server is among them."""
    while True:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == server:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code
        if pid == 0:
            return None
