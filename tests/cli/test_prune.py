"""`orchboard prune`: what it says, what it deletes, and that answers stay what they were."""

import json
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from orchboard.config import Settings
from tests.support.database import run
from tests.support.program import Orchboard, environment
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, StartServer
from tests.support.store_writes import query

COUNT = "SELECT count(*) FROM events"


def day(age: int) -> str:
    return f"{datetime.now(UTC) - timedelta(days=age):%Y-%m-%d}"


def results(days: int = 30) -> list[dict[str, Any]]:
    """Two results a day, of both job types, all in the last 30 days, and none at an edge of a rollup."""
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    made = []
    for age in range(1, days):
        for kind, hour in ((ai(), 3), (transcoding(round_trip_time=age / 10), 15)):
            moment = midnight - timedelta(days=age) + timedelta(hours=hour, minutes=7)
            made.append({**kind, "timestamp": int(moment.timestamp()), "number": age})
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "results.ndjson"
    path.write_text("".join(json.dumps(each) + "\n" for each in results()))
    return path


LONG = (
    "/api/aggregated_stats?since=1",
    "/api/aggregated_stats?since=1&job_type=ai",
    "/api/pipelines?since=1",
    "/api/leaderboard?window=all",
    "/api/leaderboard?window=all&job_type=ai",
    "/api/history?window=all&bucket=1d",
    f"/api/orchestrators/{ORCHESTRATOR}?window=all",
    "/api/uptime?cells=29",
)


def rounded(value: Any) -> Any:
    """A document with numbers to nine digits: sums depend on the order of addition."""
    if isinstance(value, dict):
        return {name: rounded(each) for name, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def answers(client: Client) -> dict[str, Any]:
    found = {}
    for target in LONG:
        answer = client.request("GET", target)
        assert answer.status == 200, (target, answer.data)
        document = answer.json()
        if isinstance(document, dict):
            for member in ("generated_at", "window", "recent", "buckets"):
                document.pop(member, None)
        for line in document.get("lines", []) if isinstance(document, dict) else []:
            # The first bucket begins with the first result, or with its rollup where results are not kept.
            line["points"][0] |= {"since": None, "is_partial": None}
            line["points"][-1] |= {"until": None}  # now
        for cell in document.get("cells", [])[-1:] if isinstance(document, dict) else []:
            cell["until"] = None
        found[target] = rounded(document)
    return found


@pytest.mark.timeout(600)  # three builds of all rollups, on a machine that does other things too
def test_answers_of_long_windows_are_what_they_were(
    orchboard: Orchboard, database_url: str, settings: Settings, start_server: StartServer, file: Path
) -> None:
    assert orchboard("import", str(file), POSTGRES=database_url).status == 0
    assert orchboard("rollups", "rebuild", POSTGRES=database_url).status == 0
    before = answers(Client(start_server(settings).url))
    would = orchboard("prune", "--before", day(20), "--dry-run", POSTGRES=database_url)
    assert would.out.startswith("would delete 18 results (") and would.out.endswith("; rollups stay\n"), would
    assert run(query(database_url, COUNT)) == 58
    done = orchboard("prune", "--before", day(20), POSTGRES=database_url)
    assert (done.status, done.out.splitlines()[-1].split(";")[0]) == (0, "deleted 18 results"), done
    assert run(query(database_url, COUNT)) == 40
    client = Client(start_server(settings).url)
    after = answers(client)
    for target, document in before.items():
        assert after[target] == document, target
    again = orchboard("prune", "--before", day(20), POSTGRES=database_url)
    assert again.out == f"there are no results before {day(20)}\n"

    raw = client.get("/api/raw_stats", orchestrator=ORCHESTRATOR, since=1)
    assert raw.headers["Orchboard-Kept-Since"] == f"{day(20)}T00:00:00Z"
    assert "Orchboard-Kept-Since" in raw.headers["Access-Control-Expose-Headers"]
    assert "Orchboard-Kept-Since" not in client.get("/api/raw_stats", orchestrator=ORCHESTRATOR).headers
    lines = client.get("/api/export", window="all")
    assert lines.headers["Orchboard-Kept-Since"] == f"{day(20)}T00:00:00Z"
    assert "Orchboard-Kept-Since" in lines.headers["Access-Control-Expose-Headers"]
    for asked in (("export", "--window"), ("get", "raw", "--orchestrator", ORCHESTRATOR, "--since")):
        said = [orchboard(*asked, since, ORCHBOARD_URL=client.url) for since in ("30d", "7d")]
        assert [(each.status, each.err) for each in said] == [
            (0, f"orchboard: results before {day(20)} 00:00 (UTC) are not kept\n"),
            (0, ""),
        ]
    cut = int(datetime.fromisoformat(f"{day(29)}T10:30+00:00").timestamp())
    window = client.get("/api/leaderboard", since=cut).json()["window"]
    assert window["since"] == f"{day(29)}T06:00:00Z", "rounded down, and said so"

    late = orchboard("import", str(file), POSTGRES=database_url)
    assert "imported 0 of 58 results" in late.out and "40 already stored" in late.out
    assert "18 results were not imported: results of their time are not kept (`orchboard prune`)" in late.out
    verified = orchboard("rollups", "verify", POSTGRES=database_url)
    assert verified.out == "all rollups match their results\n"
    assert answers(Client(start_server(settings).url))[LONG[0]] == before[LONG[0]]
    down = orchboard("migrate", "down", "2", "--yes", POSTGRES=database_url)  # to before `results_kept_since`
    assert down.status != 0 and "an older release would lose them" in down.err


def test_what_can_not_be_deleted_is_said(orchboard: Orchboard, database_url: str) -> None:
    said = {
        "2026-13-01": "--before must be a date, such as 2026-06-01, not '2026-13-01'",
        "yesterday": "--before must be a date, such as 2026-06-01, not 'yesterday'",
        day(3): "results of the last 8 days are always kept: the latest possible date is " + day(8),
    }
    for date, sentence in said.items():
        done = orchboard("prune", "--before", date, POSTGRES=database_url)
        assert done.status == 1 and sentence in done.err, (date, done)


SLOW = (
    "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END'",
    "CREATE TRIGGER wait AFTER DELETE ON events EXECUTE FUNCTION wait()",
)
SMALL_BATCHES = """
import sys
from orchboard.cli import main
from orchboard.store.retention import pruner
pruner._BATCH, pruner._PAUSE_S = 2, 0.0
main(sys.argv[1:])
"""


def test_an_interrupt_says_how_many_results_were_deleted(
    orchboard: Orchboard, database_url: str, file: Path, tmp_path: Path
) -> None:
    assert orchboard("import", str(file), POSTGRES=database_url).status == 0
    for statement in SLOW:
        run(query(database_url, statement))
    with subprocess.Popen(
        [sys.executable, "-c", SMALL_BATCHES, "prune", "--before", day(20)],
        env=environment(tmp_path, POSTGRES=database_url), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as prune:  # fmt: skip
        ends_at = time.monotonic() + 60
        while run(query(database_url, COUNT)) >= 56 and time.monotonic() < ends_at:
            time.sleep(0.1)
        prune.send_signal(signal.SIGINT)
        _, err = prune.communicate(timeout=30)
    deleted = 58 - run(query(database_url, COUNT))
    assert (prune.returncode, deleted > 2) == (130, True)
    assert f"orchboard: interrupted; {deleted} results were deleted. Run the command again to continue" in err
    assert "Traceback" not in err


def test_an_archive_needs_pyarrow_and_says_so(
    orchboard: Orchboard, database_url: str, file: Path, tmp_path: Path
) -> None:
    assert orchboard("import", str(file), POSTGRES=database_url).status == 0
    done = orchboard(
        "prune", "--before", day(20), "--archive", str(tmp_path / "archive"), POSTGRES=database_url
    )
    if done.status == 0:
        assert "archived 18 results in" in done.out
    else:
        assert "pip install 'orchboard[parquet]'" in done.err
        assert run(query(database_url, COUNT)) == 58
