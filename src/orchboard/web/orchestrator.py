"""Why an orchestrator has no scores on its page."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from orchboard.leaderboard import Leaderboard
from orchboard.results.render import StoredResult
from orchboard.stats import JobType, is_address
from orchboard.web.choice import ALL_TIME, Choice


class Why(StrEnum):
    """Reasons why an orchestrator has no scores."""

    NAME = "it has results, but its name is no address"
    UNSCORED = "it has results, and none counts"
    ELSEWHERE = "its results are in another window, region, pipeline or model"
    OTHER_JOB_TYPE = "it has results of the other job type only"
    NEVER_TESTED = "no result was ever stored"
    NO_ADDRESS = "no result was ever stored, and its name is no address"


class Absence(Struct, frozen=True):
    """Why a page shows no scores of an orchestrator. last_received -- when its last result was received; None without one"""

    why: Why
    last_received: datetime | None = None


async def find_absence(
    board: Leaderboard, choice: Choice, orchestrator: str, latest: Sequence[StoredResult]
) -> Absence:
    """Why the page shows no scores of an orchestrator. latest -- its results on the page"""
    has_address = is_address(orchestrator)
    if latest:
        counted = any(result.is_scored for result in latest)
        return Absence(Why.NAME if counted and not has_address else Why.UNSCORED, latest[0].received)
    window = board.window(ALL_TIME.bounds(board.now()))
    last = {}
    for job_type in JobType:
        query = replace(choice.query(window), job_type=job_type, region=None, pipeline=None, model=None)
        for result in await board.latest_results(replace(query, orchestrator=orchestrator), 1):
            last[job_type] = result.received
    if choice.job_type in last:
        return Absence(Why.ELSEWHERE, last[choice.job_type])
    if last:
        return Absence(Why.OTHER_JOB_TYPE, *last.values())
    return Absence(Why.NEVER_TESTED if has_address else Why.NO_ADDRESS)
