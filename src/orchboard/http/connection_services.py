"""What the connections of one process share."""

from collections.abc import Callable

from msgspec import Struct

from orchboard.api.verified_addresses import VerifiedAddresses
from orchboard.http.client_timeouts import ClientTimeouts
from orchboard.http.connection_limit import ConnectionLimiter
from orchboard.http.fast_get import GetServices
from orchboard.http.fast_post import PostServices
from orchboard.http.request_memory import RequestMemory

STATE_KEY = "connections"
"""The key of ConnectionServices in the application's lifespan state."""


class ConnectionServices(Struct, frozen=True):
    """The parts that all connections use.

    uses_fast_path -- False: every request goes to ASGI
    end_streams -- ends the answers that would never end, when the server stops
    """

    timeouts: ClientTimeouts
    limiter: ConnectionLimiter
    memory: RequestMemory
    verified: VerifiedAddresses
    gets: GetServices
    posts: PostServices
    uses_fast_path: bool
    end_streams: Callable[[], None]
