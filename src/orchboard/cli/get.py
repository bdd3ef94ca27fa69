"""orchboard get"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from cyclopts import Parameter

Endpoint = Literal[
    "scores", "raw", "pipelines", "regions", "top", "health", "aggregated_stats", "raw_stats", "top_ai_score"
]
# An answer may take DB_TIMEOUT; an unreachable server is retried for a shorter time.
ANSWER_S, RETRY_S = 30.0, 5.0
_ROUTES = {"scores": "aggregated_stats", "raw": "raw_stats", "top": "top_ai_score"}


def get(
    endpoint: Annotated[Endpoint, Parameter(help="What to query. The endpoint names of the API work too.")],
    /,
    *,
    orchestrator: Annotated[str | None, Parameter(help="Ethereum address. Required for raw.")] = None,
    region: Annotated[str | None, Parameter(help="Region code, such as FRA.")] = None,
    since: Annotated[
        str | None, Parameter(help="Start of the window: 24h, 7d, a date (UTC) or Unix seconds.")
    ] = None,
    until: Annotated[str | None, Parameter(help="End of the window.")] = None,
    pipeline: Annotated[str | None, Parameter(help="AI pipeline, exactly as posted.")] = None,
    model: Annotated[str | None, Parameter(help="AI model, exactly as posted.")] = None,
    job_type: Annotated[
        Literal["transcoding", "ai"] | None, Parameter(help="Job type of the scores or results.")
    ] = None,
    url: Annotated[
        str | None, Parameter(help="Base URL of the server. [ORCHBOARD_URL, else http://127.0.0.1:8080]")
    ] = None,
    json: Annotated[bool, Parameter(help="Print the server's answer unchanged.", negative="")] = False,
    timeout: Annotated[
        float | None,
        Parameter(help="Seconds to wait and retry. Default: 30 to wait for an answer, 5 to retry."),
    ] = None,
) -> int:
    """Query a running server and print the answer as a table.

    *scores* are sorted by score. *raw* lists the results of one orchestrator, newest first. *top* is the best
    AI score. Without --since and --until, the window is the server's default. The exit status of *health* is
    1 when the server is not healthy.

    **Examples**

    ```
    orchboard get scores --region FRA --since 7d
    orchboard get raw --orchestrator 0x… --job-type ai
    orchboard get pipelines --json | jq
    ```
    """
    from orchboard.cli.output import print_first_retry, print_kept_since, write_bytes
    from orchboard.cli.settings import read_environment
    from orchboard.cli.times import parse_time
    from orchboard.client import Client

    settings = read_environment()
    now = datetime.now(UTC)
    route = _ROUTES.get(endpoint, endpoint)
    asks_health = route == "health"
    client = Client(
        url or settings.orchboard_url,
        timeout=ANSWER_S if timeout is None else timeout,
        max_retries=0 if asks_health else None,
        retry_for=RETRY_S if timeout is None else None,
        on_retry=print_first_retry,
        on_kept_since=print_kept_since,
    )
    params = {
        "orchestrator": orchestrator,
        "region": region,
        "since": parse_time("since", since or "", now=now),
        "until": parse_time("until", until or "", now=now),
        "pipeline": pipeline,
        "model": model,
        "job_type": job_type,
    }
    answer = client.get(route, {} if asks_health else params, answers=(200, 503) if asks_health else (200,))
    if json:
        write_bytes(answer)
    else:
        _print_answer(route, answer)
    return 1 if asks_health and not _is_well(answer) else 0


def _print_answer(route: str, answer: bytes) -> None:
    import msgspec

    from orchboard.cli.output import print_table
    from orchboard.client import RefusedError

    headings, empty, rows_of = _TABLES[route]
    try:
        rows = rows_of(msgspec.json.decode(answer))
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError):
        raise RefusedError("the answer is not that of a leaderboard server; see it with --json") from None
    shown = [i for i in range(len(headings)) if not rows or any(row[i] != "-" for row in rows)]
    print_table([headings[i] for i in shown], [[row[i] for i in shown] for row in rows], empty=empty)


def _score_rows(document: Any) -> list[list[object]]:
    rows = [
        [
            orchestrator,
            region,
            *(float(score[name]) for name in ("success_rate", "round_trip_score", "score")),
        ]
        for orchestrator, regions in document.items()
        for region, score in regions.items()
    ]
    return sorted(rows, key=lambda row: (-row[4], *row[:2]))


def _raw_rows(document: Any) -> list[list[object]]:
    rows = [row for results in document.values() for row in results]
    return [
        [
            _moment(row.get("timestamp", 0)),
            row.get("region", ""),
            float(row.get("success_rate", 0)),
            float(row.get("round_trip_time", 0)),
            row.get("pipeline", "") or "-",
            row.get("model", "") or "-",
            ", ".join(str(error.get("error_code", "")) for error in row.get("errors") or ()) or "-",
        ]
        for row in rows
    ]


def _moment(timestamp: float) -> str:
    try:
        return f"{datetime.fromtimestamp(timestamp, UTC):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return str(timestamp)


def _pipeline_rows(document: Any) -> list[list[object]]:
    return [[one["id"], ", ".join(one["models"]), ", ".join(one["regions"])] for one in document["pipelines"]]


def _region_rows(document: Any) -> list[list[object]]:
    return [[one["type"], one["id"], one["name"]] for one in document["regions"]]


def _top_rows(document: Any) -> list[list[object]]:
    names = ("orchestrator", "region", "pipeline", "model")
    return [[*(document[name] for name in names), float(document["value"])]] if document else []


def _health_rows(document: Any) -> list[list[object]]:
    postgres = document["postgres"]
    return [["postgres", bool(postgres["ok"]), postgres.get("error", "")]]


def _is_well(answer: bytes) -> bool:
    import msgspec

    try:
        return msgspec.json.decode(answer)["postgres"]["ok"] is True
    except (msgspec.DecodeError, KeyError, TypeError):
        return False


_NONE = "no results in this window"
_TABLES: dict[str, tuple[tuple[str, ...], str, Any]] = {
    "aggregated_stats": (("orchestrator", "region", "success", "round trip", "score"), _NONE, _score_rows),
    "raw_stats": (
        ("tested (UTC)", "region", "success", "seconds", "pipeline", "model", "errors"), _NONE, _raw_rows,
    ),
    "pipelines": (("pipeline", "models", "regions"), "no pipelines in this window", _pipeline_rows),
    "regions": (("job type", "region", "name"), "no regions", _region_rows),
    "top_ai_score": (("orchestrator", "region", "pipeline", "model", "score"), "no AI results yet", _top_rows),
    "health": (("part", "ok", "error"), "nothing", _health_rows),
}  # fmt: skip
