"""The listening socket: opened here, or inherited from a service manager or an earlier program."""

import errno
import os
import signal
import socket
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress

from orchboard import limits
from orchboard.errors import SetupError

# The first descriptor in systemd's protocol (sd_listen_fds).
_FIRST_FD = 3
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def listen(host: str, port: int, *, advice: str = "choose another with --port") -> socket.socket:
    """Open a listening socket. Raises SetupError with the remedy.

    advice -- how to choose another port, for the message
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=limits.LISTEN_BACKLOG)
    except OSError as error:
        address = f"{host} port {port}"
        if error.errno == errno.EADDRINUSE:
            raise SetupError(
                f"{address} is in use: {advice}, or stop the program that uses it; `orchboard doctor` shows whether it is orchboard"
            ) from None
        remedy = {
            errno.EACCES: f"ports up to 1023 are reserved; {advice}",
            errno.EADDRNOTAVAIL: "HOST must be an address of this machine, or 0.0.0.0 for all addresses",
        }.get(error.errno or 0, "see HOST and PORT")
        raise SetupError(f"can't listen on {address}, {os.strerror(error.errno or 0)}: {remedy}") from None


def inherited(
    environ: MutableMapping[str, str], fd: int | None, *, first_fd: int = _FIRST_FD
) -> socket.socket | None:
    """The inherited listening socket; None if there is none.

    fd -- its descriptor from the command line. systemd's variables take precedence: after a restart this program has its
        original arguments, and the variables have the descriptor
    first_fd -- the descriptor that systemd's variables refer to

    Removes systemd's variables from the environment, as they are for this process only. Raises SetupError if the
    descriptor is not a listening TCP socket.
    """
    process, number, _ = [environ.pop(name, "") for name in _VARIABLES]
    if process == str(os.getpid()) and number not in ("", "0"):
        if number != "1":
            raise SetupError(f"LISTEN_FDS is {number}: orchboard accepts one socket")
        fd = first_fd
    if fd is None:
        return None
    with suppress(OSError):
        listener = socket.socket(fileno=fd)
        if (
            listener.family in (socket.AF_INET, socket.AF_INET6)
            and listener.type == socket.SOCK_STREAM
            and listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        ):
            listener.set_inheritable(False)
            return listener
        listener.detach()
    raise SetupError(f"descriptor {fd} is not a listening TCP socket")


def start_again(listener: socket.socket, variables: Mapping[str, str]) -> None:
    """Replace this process by a new run of the program, with the listening socket. Connections wait in its queue.

    Never returns. The process id stays the same.

    variables -- additional environment variables
    """
    os.dup2(listener.fileno(), _FIRST_FD, inheritable=True)
    if listener.fileno() == _FIRST_FD:
        os.set_inheritable(_FIRST_FD, True)
    # Blocked until the new program has a handler and calls `accept_hangups`. The default action would end the process.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    inherited_socket = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    # A binary is run by its path, which may be a newer version by now.
    program = sys.argv[0] if getattr(sys, "frozen", False) else sys.executable
    os.execve(program, [program, *sys.orig_argv[1:]], {**os.environ, **inherited_socket, **variables})  # noqa: S606 - ourselves


def accept_hangups() -> None:
    """Unblock SIGHUP. A signal that was sent during the restart is delivered now."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGHUP})
