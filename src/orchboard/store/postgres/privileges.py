"""The privileges that the database's role lacks, and the statements that grant them."""

from collections.abc import Sequence

from msgspec import Struct

from orchboard.errors import SetupError
from orchboard.store.connection.types import Connection
from orchboard.store.sql_files import sql


class Lacked(Struct, frozen=True):
    """A privilege that a role lacks, as in GRANT: `SELECT ON events`, with `TO owner` for the owner of a view."""

    role: str
    privilege: str

    @property
    def grant(self) -> str:
        """The statement that grants it."""
        grantee = "" if " TO " in self.privilege else f' TO "{self.role}"'
        return f"GRANT {self.privilege}{grantee};"


def require_none(lacked: Sequence[Lacked]) -> None:
    """Raise SetupError, with the statements that grant them, if any privilege is lacking."""
    if lacked:
        grants = " ".join(each.grant for each in lacked)
        raise SetupError(
            f"the role {lacked[0].role} lacks privileges. As the owner of the tables, run: {grants}"
        )


async def fetch_lacked(connection: Connection) -> list[Lacked]:
    """What the role lacks to read and to store results."""
    return await _fetch(connection, "ping")


async def fetch_lacked_to_prune(connection: Connection) -> list[Lacked]:
    """What the role lacks to delete old results, beyond what `fetch_lacked` returns."""
    return await _fetch(connection, "privileges_to_prune")


async def _fetch(connection: Connection, name: str) -> list[Lacked]:
    [row] = await connection.fetch(sql(name))
    return [Lacked(row["role"], privilege) for privilege in row["missing"]]
