"""What the server of a database is, and the settings that its connections get."""

from enum import Enum
from typing import Any

import asyncpg
from msgspec import Struct

from orchboard.store.connection.encoding import UTF8, connection_options, encoding_of
from orchboard.store.connection.failover import Hosts
from orchboard.store.sql_files import sql

# Custom plans: with optional filters in a static text, the generic plan took 50.8 ms where the custom one took 3.0.
# No time limits: a role's own would cancel a long migration, and requests have DB_TIMEOUT.
_SESSION_SETTINGS = {
    "plan_cache_mode": "force_custom_plan", "jit": "off", "statement_timeout": "0", "lock_timeout": "0",
}  # fmt: skip

# An INSERT has one plan: planned once, a batch of one took 0.38 ms where planned each time it took 0.55.
_PLANNED_ONCE = _SESSION_SETTINGS | {"plan_cache_mode": "force_generic_plan"}

# On the nodes of a Citus cluster. Otherwise Citus hides its shards from the statement with which asyncpg reads the types of
# parameters on each new connection, which takes seconds instead of milliseconds.
_ON_NODES = {"citus.override_table_visibility": "off"}

# An INSERT there: Citus can't plan it without its values.
_INSERT_ON_NODE = _SESSION_SETTINGS | _ON_NODES | {"plan_cache_mode": "auto"}

# From the coordinator, a batch for several shards opens no connection for each of them.
_INSERT_ON_NODES = _INSERT_ON_NODE | {
    "citus.multi_shard_modify_mode": "sequential", "citus.max_cached_conns_per_worker": "16",
}  # fmt: skip


class Purpose(Enum):
    """What a connection is for: anything, inserting results, or inserting those that its node of a cluster stores itself."""

    ANY = 0
    INSERT = 1
    INSERT_ON_NODE = 2


class ServerKind(Struct, frozen=True):
    """What the server of a database is.

    is_pooled -- whether a pooler such as pgbouncer drops or refuses session settings: statements can't be prepared by name there
    encoding -- of the database
    is_distributed -- whether the results are on the nodes of a Citus cluster
    """

    is_pooled: bool = False
    encoding: str = UTF8
    is_distributed: bool = False

    def options(self, purpose: Purpose) -> dict[str, Any]:
        """The options of asyncpg with which a connection is opened."""
        options: dict[str, Any] = (
            {"statement_cache_size": 0} if self.is_pooled else {"server_settings": self._settings(purpose)}
        )
        return options | connection_options(self.encoding)

    def _settings(self, purpose: Purpose) -> dict[str, str]:
        if not self.is_distributed:
            return _PLANNED_ONCE if purpose is Purpose.INSERT else _SESSION_SETTINGS
        return {
            Purpose.ANY: _SESSION_SETTINGS | _ON_NODES,
            Purpose.INSERT: _INSERT_ON_NODES,
            Purpose.INSERT_ON_NODE: _INSERT_ON_NODE,
        }[purpose]


async def detect_kind(hosts: Hosts, timeout_s: float) -> ServerKind:
    """The kind of the server that accepts writes. Raises as `Hosts.connect`."""
    refused = False
    try:
        connection = await hosts.connect(
            timeout_s=timeout_s, server_settings=_SESSION_SETTINGS, statement_cache_size=0
        )
    except asyncpg.ProtocolViolationError as error:
        if "startup parameter" not in str(error):
            raise
        refused = True
        connection = await hosts.connect(timeout_s=timeout_s, statement_cache_size=0)
    try:
        mode = None if refused else await connection.fetchval("SELECT current_setting('plan_cache_mode')")
        is_pooled = mode != _SESSION_SETTINGS["plan_cache_mode"]
        return ServerKind(
            is_pooled, encoding_of(connection), await connection.fetchval(sql("is_distributed"))
        )
    finally:
        await connection.close()
