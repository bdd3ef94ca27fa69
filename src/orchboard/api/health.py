"""GET /api/health"""

from msgspec import UNSET, Struct, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from orchboard.api.refusals import RETRY_AFTER, STATUS
from orchboard.api.responses import json_now
from orchboard.errors import DatabaseUnavailableError, SetupError
from orchboard.leaderboard import Leaderboard


class DatabaseHealth(Struct, frozen=True):
    """How the database is.

    ok -- whether it answered just now
    error -- why it did not; only when it did not
    """

    ok: bool
    error: str | UnsetType = UNSET


class Health(Struct, frozen=True):
    """How the server is.

    postgres -- its database
    """

    postgres: DatabaseHealth


async def health(_: Request, board: Leaderboard) -> Response:
    """Whether the database answers, from a real round trip."""
    try:
        await board.store.ping()
    except (DatabaseUnavailableError, SetupError) as error:
        return json_now(Health(DatabaseHealth(False, str(error))), STATUS[type(error)], RETRY_AFTER)
    return json_now(Health(DatabaseHealth(True)))
