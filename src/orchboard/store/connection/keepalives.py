"""TCP keepalives: detect a host that lost its power or its network."""

import socket
from collections.abc import Mapping
from typing import Self

from msgspec import Struct

from orchboard.postgres_parameters import integer

# The names on Linux, and our defaults; other systems lack some.
_OPTIONS = {
    "keepalives_idle": ("TCP_KEEPIDLE", 10),
    "keepalives_interval": ("TCP_KEEPINTVL", 5),
    "keepalives_count": ("TCP_KEEPCNT", 3),
    "tcp_user_timeout": ("TCP_USER_TIMEOUT", 20_000),
}


class Keepalives(Struct, frozen=True):
    """The socket options of TCP connections.

    enabled -- SO_KEEPALIVE
    options -- by their names in `socket`; a missing one keeps the system's default
    """

    enabled: bool
    options: dict[str, int]

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, str]) -> Self:
        """The options from libpq's parameters. Defaults: 10 s idle, 3 probes 5 s apart, 20 s unacknowledged.

        As in libpq, 0 means the system's default.
        """
        values = {
            option: integer(parameters.get(name, str(default)))
            for name, (option, default) in _OPTIONS.items()
        }
        enabled = integer(parameters.get("keepalives", "1")) != 0
        return cls(enabled, {option: value for option, value in values.items() if value > 0})

    def set_on(self, connected: socket.socket) -> None:
        """Set the options that the system supports, if the connection uses TCP."""
        if connected.family not in (socket.AF_INET, socket.AF_INET6):
            return
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, self.enabled)
        for name, value in self.options.items():
            option = getattr(socket, name, None)
            if option is not None and (self.enabled or name == "TCP_USER_TIMEOUT"):
                connected.setsockopt(socket.IPPROTO_TCP, option, value)
