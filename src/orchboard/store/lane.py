"""A lane: one connection that groups of results are sent on, one at a time."""

import asyncio
import math

from orchboard.store.database import Database
from orchboard.store.inserts import Inserts
from orchboard.store.kept_connection import KeptConnection
from orchboard.store.write_queue import QueuedRow


class Lane:
    """What one statement at a time needs.

    timeout_s, flight_s -- as of Inserts
    flying -- the group that is under way
    writing -- what sends group after group, as long as there is work
    failed_at -- by the loop's clock, when it could not go on; -inf since it could
    """

    def __init__(self, database: Database, *, timeout_s: float, flight_s: float) -> None:
        self.connection = KeptConnection(database)
        self.inserts = Inserts(self.connection, timeout_s=timeout_s, flight_s=flight_s)
        self.flying: list[QueuedRow] = []
        self.writing: asyncio.Task[None] | None = None
        self.failed_at = -math.inf
