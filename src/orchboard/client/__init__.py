"""A client of any leaderboard server: orchboard, and the Go server that it follows.

`Client` blocks, `AsyncClient` is for asyncio; they have the same methods. docs/client.md is their manual.

Needs nothing of the server: only `errors`, `stats`, `server_state` and `signing`. `clients.py` is the start: a method is
written once in `calls.py` as steps without input and output; `attempts.py` decides what is repeated; `transport.py` and
`async_transport.py` carry the steps out.
"""

from orchboard.client.answers import RawResult, ServerRegion
from orchboard.client.attempts import Retry
from orchboard.client.calls import Posted
from orchboard.client.clients import AsyncClient, Client
from orchboard.client.errors import (
    ClientError,
    NotSentError,
    RefusedError,
    TooLargeError,
    UnavailableError,
    UnreachableError,
)
from orchboard.reports.export import ExportedResult, ExportedRollup
from orchboard.reports.stream import RankEvent, ResultEvent
from orchboard.stats import JobType, Pipeline, Score, Stats, TopScore

__all__ = [
    "AsyncClient",
    "Client",
    "ClientError",
    "ExportedResult",
    "ExportedRollup",
    "JobType",
    "NotSentError",
    "Pipeline",
    "Posted",
    "RankEvent",
    "RawResult",
    "RefusedError",
    "ResultEvent",
    "Retry",
    "Score",
    "ServerRegion",
    "Stats",
    "TooLargeError",
    "TopScore",
    "UnavailableError",
    "UnreachableError",
]
