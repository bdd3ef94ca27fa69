"""Checks of the Postgres server and the connection: version, clock, encoding, encryption, pooler, durability."""

from datetime import UTC, datetime

from orchboard.store.connection.conninfo import resolve
from orchboard.store.connection.encoding import UTF8, encoding_of
from orchboard.store.connection.types import Connection
from orchboard.store.diagnostics.findings import Finding, Level
from orchboard.store.sql_files import sql

OLDEST_MAJOR = 15
SKEW_WARNING_S = 2.0
SKEW_ERROR_S = 300.0


async def check_server(connection: Connection, url: str) -> list[Finding]:
    """Properties of the server at `url` that prevent or endanger its use."""
    asked_at = datetime.now(UTC)
    [row] = await connection.fetch(sql("diagnosis_server"))
    skew_s = ((row["clock"] - asked_at) - (datetime.now(UTC) - asked_at) / 2).total_seconds()
    return [
        _version(row["version"], row["major"]),
        _clock(skew_s),
        *([] if (encoding := encoding_of(connection)) == UTF8 else [_encoding(encoding)]),
        *([] if row["encrypted"] or _is_local(url) else [_NOT_ENCRYPTED]),
        *([_POOLED] if row["pooled"] else []),
        *([_READ_ONLY] if row["read_only"] else []),
        *([_unsafe(row["unsafe"])] if row["unsafe"] else []),
    ]


def _version(version: str, major: int) -> Finding:
    if major < OLDEST_MAJOR:
        return Finding(
            Level.ERROR, "version", f"PostgreSQL {version} is too old", f"Use {OLDEST_MAJOR} or newer."
        )
    return Finding(Level.OK, "version", f"PostgreSQL {version}")


def _encoding(encoding: str) -> Finding:
    return Finding(
        Level.WARNING,
        "encoding",
        f"the database's encoding is {encoding}: characters that it lacks are stored as `?`",
        "Create a new database with CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0 LOCALE 'C'. Stop all servers, "
        "copy the old one into it with pg_dump, and set POSTGRES to the new one.",
    )


def _unsafe(off: list[str]) -> Finding:
    message = (
        f"turned off: {', '.join(off)}; acknowledged results are lost when the database's machine loses power"
    )
    remedy = "Turn it on in postgresql.conf or with ALTER SYSTEM, and reload the server's configuration"
    if "synchronous_commit" in off:  # PostgreSQL refuses the others for a database
        remedy += "; synchronous_commit may also be set by ALTER DATABASE or ALTER ROLE"
    return Finding(Level.WARNING, "durability", message, f"{remedy}.")


def _clock(skew_s: float) -> Finding:
    if abs(skew_s) <= SKEW_WARNING_S:
        return Finding(Level.OK, "clock", "the clocks of the database and this machine agree")
    level = Level.ERROR if abs(skew_s) > SKEW_ERROR_S else Level.WARNING
    way = "ahead of" if skew_s > 0 else "behind"
    message = (
        f"the database's clock is {abs(skew_s):.0f} s {way} this machine's, and windows are off by as much"
    )
    return Finding(level, "clock", message, "Run NTP on both machines.")


_NOT_ENCRYPTED = Finding(
    Level.WARNING, "encryption", "the connection is not encrypted", "Add sslmode=require to POSTGRES."
)
_POOLED = Finding(
    Level.OK,
    "pooler",
    "a pooler that resets session settings is in use: named prepared statements are turned off",
)
_READ_ONLY = Finding(
    Level.ERROR, "writing", "this server is read-only (a standby?)",
    "Set POSTGRES to the primary, or to all hosts with target_session_attrs=read-write.",
)  # fmt: skip


def _is_local(url: str) -> bool:
    """Whether all hosts in the URL are this machine."""
    local = ("localhost", "127.0.0.1", "::1")
    return all(host.is_socket or host.target in local for host in resolve(url).hosts)
