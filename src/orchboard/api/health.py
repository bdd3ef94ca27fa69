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


class SpoolHealth(Struct, frozen=True):
    """What was acknowledged and is not in the database.

    waiting -- results that wait for the database
    oldest_s -- how long the first of them has waited, in seconds; 0 when none waits
    aside -- results that could not be stored, and wait for a person: see `orchboard spool`
    """

    waiting: int
    oldest_s: float
    aside: int


class Health(Struct, frozen=True):
    """How the server is.

    postgres -- its database
    spool -- what is not in it yet; only when there is something
    """

    postgres: DatabaseHealth
    spool: SpoolHealth | UnsetType = UNSET


async def health(_: Request, board: Leaderboard) -> Response:
    """Whether the database answers, from a real round trip."""
    spool = await _spool_health(board)
    try:
        await board.store.ping()
    except (DatabaseUnavailableError, SetupError) as error:
        return json_now(Health(DatabaseHealth(False, str(error)), spool), STATUS[type(error)], RETRY_AFTER)
    return json_now(Health(DatabaseHealth(True), spool))


async def _spool_health(board: Leaderboard) -> SpoolHealth | UnsetType:
    try:
        depth = await board.store.fetch_spool_depth()
    except DatabaseUnavailableError:
        return UNSET
    if not (depth.waiting or depth.aside):
        return UNSET
    waited_s = 0.0 if depth.oldest is None else max(board.now().timestamp() - depth.oldest, 0.0)
    return SpoolHealth(depth.waiting, round(waited_s, 3), depth.aside)
