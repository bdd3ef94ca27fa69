"""Reports the server's state to the service manager, systemd, with the protocol of sd_notify."""

import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class ServiceManager:
    """The service manager that started this process. Without one, all messages are dropped.

    environ -- NOTIFY_SOCKET is the path of the manager's datagram socket
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name

    def ready(self, status: str) -> None:
        """Report that the server serves, for the first time or after `reloading`."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """Report that the server replaces itself or its workers while it continues to serve."""
        self._send(
            "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=restarting on its socket"
        )

    def stopping(self) -> None:
        """Report that the server accepts no new connections and completes its requests."""
        self._send("STOPPING=1", "STATUS=answering the last requests")

    def alive(self) -> None:
        """Report that the event loop runs. After WatchdogSec= without this, systemd restarts the server."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as end,
        ):
            end.sendto("\n".join(lines).encode(), self._address)
