"""What a server says about its own condition: health, readiness, liveness and maintenance.

Fields that are UNSET are left out of the JSON. UNSET is false.
"""

from msgspec import UNSET, Struct, UnsetType


class DatabaseHealth(Struct, frozen=True):
    """State of the database.

    ok -- whether it answered this request's query
    error -- the reason, if it did not answer
    """

    ok: bool
    error: str | UnsetType = UNSET


class SpoolHealth(Struct, frozen=True):
    """Acknowledged results that are not in the database yet.

    waiting -- number of spooled results that will be stored when the database is available
    oldest_s -- age of the oldest of them in seconds; 0 if there are none
    aside -- number of dead letters: results that the database refused. See `orchboard spool`
    error -- why the spool can't be read; then the other members are missing
    """

    waiting: int | UnsetType = UNSET
    oldest_s: float | UnsetType = UNSET
    aside: int | UnsetType = UNSET
    error: str | UnsetType = UNSET


class Health(Struct, frozen=True):
    """State of the server.

    postgres -- its database
    spool -- results that are not in the database yet; missing when there are none
    """

    postgres: DatabaseHealth
    spool: SpoolHealth | UnsetType = UNSET


class CheckResult(Struct, frozen=True):
    """Result of one check.

    name -- name of the check
    ok -- whether it passed
    error -- the reason, if it failed
    note -- a warning for the operator, although the check passed; usually missing
    newest_age_s -- of the check `results`: age in seconds of the newest result of each job type that has had one in the last
        seven days; missing if the database does not answer
    """

    name: str
    ok: bool
    error: str | UnsetType = UNSET
    note: str | UnsetType = UNSET
    newest_age_s: dict[str, float] | UnsetType = UNSET


class Readiness(Struct, frozen=True):
    """Whether the server is ready for requests.

    ready -- whether every check passed
    checks -- all checks, in order
    """

    ready: bool
    checks: tuple[CheckResult, ...]


class Alive(Struct, frozen=True):
    """State of the process.

    alive -- always true
    """

    alive: bool


class UpkeepDone(Struct, frozen=True):
    """The work that one call did.

    done -- false: more work is left for the next call
    moved -- number of results moved into orchboard's table, after a database was taken over
    spans -- number of rollup buckets that were checked or built
    keys -- number of expired idempotency keys that were deleted
    pending -- number of invalidations that are not applied to the rollups yet
    """

    done: bool
    moved: int
    spans: int
    keys: int
    pending: int
