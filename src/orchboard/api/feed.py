"""GET /feed.atom and /feed/{address}.atom"""

import uuid
from datetime import datetime
from xml.etree import ElementTree as ET

from orchboard import limits
from orchboard.analytics.events import (
    EVIDENCE_RESULTS,
    FAILING,
    LONGEST_GAPS,
    MIN_GAPS,
    NEW_RESULTS,
    SILENT_GAPS,
    SILENT_HOURS,
    WORKING,
    Event,
    Kind,
)
from orchboard.answers.cached_query import CachedQuery
from orchboard.api.endpoint import Endpoint, Param
from orchboard.api.examples import BUSY, ORCHESTRATOR, UNAVAILABLE
from orchboard.api.params import Params
from orchboard.api.refusals import Error
from orchboard.api.responses import with_media_type
from orchboard.api.scope_params import require_known
from orchboard.api.svg import writable
from orchboard.errors import BadInputError, ClientBusyError, DatabaseUnavailableError
from orchboard.leaderboard import Leaderboard
from orchboard.store.postgres.clock import EPOCH, from_pg_time

_ATOM = "http://www.w3.org/2005/Atom"
MEDIA_TYPE = "application/atom+xml"

_HEADERS = with_media_type(f"{MEDIA_TYPE}; charset=utf-8")

_TITLES = {
    Kind.DOWN: "is down",
    Kind.UP: "is up again",
    Kind.SILENT: "is not tested any more",
    Kind.TESTED: "is tested",
}


def feed(params: Params, board: Leaderboard) -> CachedQuery:
    """The news about all orchestrators."""
    return _feed(params, board, None)


def feed_of(params: Params, board: Leaderboard) -> CachedQuery:
    """The news about one orchestrator."""
    return _feed(params, board, params.in_path("address").lower())


def _feed(params: Params, board: Leaderboard, address: str | None) -> CachedQuery:
    require_known(params, [])

    async def compute() -> bytes:
        from orchboard.analytics.feed import find_news  # at first use: numpy takes 0.2 s

        return render_feed(await find_news(board, address), address)

    # Only complete hours count: a result seldom changes anything.
    return CachedQuery(
        ("feed", address), compute, _HEADERS, max_age_s=limits.FEED_TTL_S, depends_on_database=False
    )


def render_feed(events: list[Event], address: str | None) -> bytes:
    """The Atom document (RFC 4287). The same events make the same bytes."""
    root = ET.Element("feed", {"xmlns": _ATOM})
    about = "all orchestrators" if address is None else address
    _add(root, "title", f"orchboard: {about}")
    _add(root, "id", _urn("feed", address or ""))
    _add(root, "updated", _time(from_pg_time(events[0].noted) if events else EPOCH))
    _add(_add(root, "author"), "name", "orchboard")
    for event in events:
        entry = _add(root, "entry")
        _add(entry, "title", f"{event.orchestrator} {_TITLES[event.kind]} ({event.job_type})")
        _add(entry, "id", _urn(event.kind, event.job_type, event.orchestrator, str(event.hour)))
        _add(entry, "updated", _time(from_pg_time(event.noted)))
        entry.append(ET.Element("category", {"term": event.kind}))
        _add(entry, "summary", _summary(event))
    ET.indent(root)
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document + b"\n"


def _add(parent: ET.Element, name: str, text: str = "") -> ET.Element:
    child = ET.SubElement(parent, name)
    child.text = writable(text) or None
    return child


def _urn(*names: str) -> str:
    """An identifier that depends on the names only."""
    return uuid.uuid5(uuid.NAMESPACE_URL, "orchboard feed\0" + "\0".join(names)).urn


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _summary(event: Event) -> str:
    since = from_pg_time(event.since).strftime("%Y-%m-%d %H:%M UTC")
    number = f"{event.results} result{'s' if event.results != 1 else ''}"
    regions = f"{event.regions} region{'s' if event.regions != 1 else ''}"
    return {
        Kind.DOWN: f"Nearly all of {number} from {regions} failed since {since}.",
        Kind.UP: f"Most of {number} from {regions} succeeded since {since}.",
        Kind.SILENT: f"The last result came at {since}, while its {regions} tested others.",
        Kind.TESTED: f"{number} from {regions} since {since}.",
    }[event.kind]


_HELP = (
    "Returns an Atom feed of the events of the last seven days. An event has an orchestrator, a job type and a kind. "
    "The events of a week are found in the hours of that week and of the week before it; weeks begin on Saturday at 0:00 UTC.\n\n"
    "`down`: consecutive hours fail. An hour fails if the mean success rate over the orchestrator's regions is below "
    f"{FAILING}. Together, the hours have at least {EVIDENCE_RESULTS} scored results from at least two regions, or from the only region "
    "that tests the orchestrator. An hour without scored results is skipped. An orchestrator that has failed since its first result "
    "is not reported.\n\n"
    f"`up`: after it was down, consecutive hours have a mean of at least {WORKING}. The minimum numbers of results and regions are those "
    "of `down`.\n\n"
    f"`silent`: no result was received for at least {SILENT_GAPS} times the mean gap between hours with results, {LONGEST_GAPS} times the "
    f"longest gap, and {SILENT_HOURS} hours. An hour counts only if at least half of the orchestrator's regions tested other "
    f"orchestrators in it. An orchestrator with fewer than {MIN_GAPS} gaps is never silent.\n\n"
    f"`tested`: the first {NEW_RESULTS} results of an orchestrator that had none in the 30 days before these two weeks, or the first "
    "results after `silent`.\n\n"
    "Unscored results count for `silent` and `tested` only. An hour is examined when it is over. An "
    "entry and its id do not change unless results of these weeks or of the 30 days before them do."
)
_REFUSALS = {
    BadInputError: Error("unknown parameter 'window': allowed are none"),
    ClientBusyError: BUSY,
    DatabaseUnavailableError: UNAVAILABLE,
}

FEED = Endpoint(
    name="feed",
    method="GET",
    path="/feed.atom",
    query=feed,
    summary="News about all orchestrators: down, up, silent, tested",
    help=_HELP,
    answer=render_feed([], None).decode(),
    answer_type=str,
    media_type=MEDIA_TYPE,
    refusals=_REFUSALS,
)

FEED_OF = Endpoint(
    name="feed_of",
    method="GET",
    path="/feed/{address}.atom",
    query=feed_of,
    summary="News about one orchestrator",
    help="Returns the events of `/feed.atom` of one orchestrator.",
    params=(
        Param("address", "Ethereum address. Case-insensitive.", ORCHESTRATOR, required=True, place="path"),
    ),
    answer=render_feed([], ORCHESTRATOR).decode(),
    answer_type=str,
    media_type=MEDIA_TYPE,
    refusals=_REFUSALS,
)
