"""Tells the service manager, systemd, in which state the server is (sd_notify's protocol)."""

import socket
import time
from collections.abc import Mapping
from contextlib import suppress


class ServiceManager:
    """The service manager that started this process; where none did, every message is dropped.

    environ -- NOTIFY_SOCKET names the datagram socket that messages go to
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = f"\0{name[1:]}" if name.startswith("@") else name

    def ready(self, status: str) -> None:
        """The server serves: for the first time, or again after `reloading`."""
        self._send("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """The server replaces itself or its workers, and goes on serving."""
        self._send(
            "RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}", "STATUS=restarting on its socket"
        )

    def stopping(self) -> None:
        """The server accepts no new connections and finishes what it has."""
        self._send("STOPPING=1", "STATUS=answering the last requests")

    def alive(self) -> None:
        """The event loop turns. Without one for WatchdogSec=, systemd restarts the server."""
        self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        if not self._address:
            return
        with (
            suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as end,
        ):
            end.sendto("\n".join(lines).encode(), self._address)
