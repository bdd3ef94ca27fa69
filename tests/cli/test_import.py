"""`orchboard import`, of every format but Parquet, which tests/artefacts has with its extra."""

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zstandard
from msgspec.structs import replace

from orchboard.config import Settings
from tests.support.database import run
from tests.support.program import Orchboard, environment
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, StartServer
from tests.support.store_writes import query

STORED = "SELECT count(*) FROM results"
TIMES = "SELECT array_agg(event_time ORDER BY event_time) FROM results"
OTHER = "0x" + "b" * 40


def results(number: int) -> list[dict[str, Any]]:
    """Results of two kinds, two orchestrators and several days, one a second long apart in time."""
    return [
        {
            **(ai() if i % 3 == 0 else transcoding()),
            "orchestrator": OTHER if i % 2 else ORCHESTRATOR,
            "timestamp": 1_700_000_000 + i * 3600,
            "note": {"number": i},
        }
        for i in range(number)
    ]


def ndjson(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def written(content: bytes, name: str = "results") -> str:
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return written


def test_a_result_keeps_its_payload_and_is_received_at_its_timestamp(
    orchboard: Orchboard,
    database_url: str,
    settings: Settings,
    start_server: StartServer,
    write: Callable[..., str],
) -> None:
    done = orchboard("import", write(ndjson(results(30))), POSTGRES=database_url)
    assert done.status == 0, done.err
    assert done.out.startswith("imported 30 of 30 results in ")
    assert done.out.endswith("; 0 already stored, 0 repeated, 0 refused\n")
    client = Client(start_server(settings).url)
    rows = client.get("/api/raw_stats", orchestrator=OTHER, since="1", job_type="transcoding").json()["MDW"]
    assert [row["note"]["number"] for row in rows] == [i for i in range(29, 0, -1) if i % 2 and i % 3]
    posted = results(30)[29]
    assert posted.items() <= rows[0].items()
    first, *_, last = run(query(database_url, TIMES))
    assert (first.timestamp(), last.timestamp()) == (1_700_000_000, 1_700_000_000 + 29 * 3600)


def test_importing_again_stores_nothing_whatever_the_order_and_the_format(
    orchboard: Orchboard,
    database_url: str,
    settings: Settings,
    start_server: StartServer,
    write: Callable[..., str],
) -> None:
    rows = results(50)
    assert orchboard("import", write(ndjson(rows)), POSTGRES=database_url).status == 0
    client = Client(start_server(settings).url)
    answers = b"\n".join(
        client.get("/api/raw_stats", orchestrator=one, since="1", job_type=job_type).data
        for one in (ORCHESTRATOR, OTHER)
        for job_type in ("ai", "transcoding")
    )
    by_region = {
        region: [{k: v for k, v in row.items() if k != "region"} for row in rows if row["region"] == region]
        for region in ("MDW", "FRA")
    }
    for content in (
        ndjson(rows[::-1]),
        b"\xef\xbb\xbf" + ndjson(rows) + ndjson(rows),
        zstandard.compress(ndjson(rows)),
        answers,
        json.dumps(rows, indent=1).encode(),
        json.dumps(by_region, indent=2).encode(),
        json.dumps(rows).encode(),
    ):
        done = orchboard("import", "--json", write(content), POSTGRES=database_url).json()
        assert (done["stored"], done["already_there"], done["refused"]) == (0, 50, 0), (content[:80], done)
    assert run(query(database_url, STORED)) == 50


def test_a_csv_file_has_a_column_a_member(
    orchboard: Orchboard, database_url: str, settings: Settings, start_server: StartServer, tmp_path: Path
) -> None:
    file = tmp_path / "results.csv"
    columns = ["event_time", "region", "orchestrator", "success_rate", "round_trip_time", "errors", "segments_sent",
               "model", "pipeline", "model_is_warm", "response_payload", "test_outcome"]  # fmt: skip
    text = 'two\nlines, "quoted"'
    errors = [{"error_code": "x", "count": 2}]
    with file.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(columns)
        writer.writerow(
            [
                "2026-01-31 12:00:00.25+02",
                "fra",
                OTHER,
                "1",
                "2.5",
                json.dumps(errors),
                "5.0",
                "m",
                "p",
                "True",
                text,
                "scored",
            ]
        )
        writer.writerow(["1767225600", "FRA", OTHER, "0", "", "", "", "", "", "", "", ""])
    done = orchboard("import", str(file), POSTGRES=database_url)
    assert done.out.startswith("imported 2 of 2 "), done.err
    client = Client(start_server(settings).url)
    [row] = client.get("/api/raw_stats", orchestrator=OTHER, since="1", job_type="ai").json()["FRA"]
    wanted = {"success_rate": 1, "round_trip_time": 2.5, "errors": errors, "segments_sent": 5, "model_is_warm": True,
              "response_payload": text, "test_outcome": "scored"}  # fmt: skip
    assert wanted.items() <= row.items() and "event_time" not in row
    assert run(query(database_url, TIMES)) == [
        datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 31, 10, 0, 0, 250_000, tzinfo=UTC),
    ]  # fmt: skip


BAD = {
    3: (b'{"region":"MDW"', "not valid JSON"),
    4: (json.dumps({**transcoding(), "region": "NOWHERE"}).encode(), "region 'NOWHERE' is unknown"),
    5: (json.dumps({**transcoding(), "timestamp": 0}).encode(), "neither an event_time nor a timestamp"),
    6: (json.dumps({**transcoding(), "success_rate": "high"}).encode(), "success_rate: Expected"),
    7: (json.dumps({**transcoding(), "event_time": "soon"}).encode(), "event_time must be ISO 8601"),
    8: (json.dumps({**transcoding(), "orchestrator": " "}).encode(), "orchestrator must not be blank"),
    9: (b"17", "not a JSON object"),
    10: (json.dumps({**transcoding(), "timestamp": 10**18}).encode(), "out of the range of times"),
}


def test_one_bad_line_refuses_the_file_and_every_bad_line_is_named(
    orchboard: Orchboard, database_url: str, write: Callable[..., str]
) -> None:
    good = ndjson(results(2))
    file = write(good + b"\n".join(line for line, _ in BAD.values()) + b"\n\n" + ndjson(results(4)[3:]))
    done = orchboard("import", file, POSTGRES=database_url)
    assert (done.status, done.out) == (1, "")
    assert run(query(database_url, STORED)) == 0
    *told, last = done.err.splitlines()
    assert len(told) == len(BAD)
    for said, (number, (_, reason)) in zip(told, BAD.items(), strict=True):
        assert f"{file}, line {number}: " in said and reason in said
    assert last == "orchboard: nothing was stored: 8 of 11 results are refused; --skip-bad stores the others"
    done = orchboard("import", file, "--skip-bad", POSTGRES=database_url)
    assert done.status == 0 and done.out.startswith("imported 3 of 11 results in ")
    assert done.out.endswith("8 refused\n") and done.err.splitlines() == told
    assert run(query(database_url, STORED)) == 3


def test_a_dry_run_counts_and_stores_nothing(
    orchboard: Orchboard, database_url: str, write: Callable[..., str]
) -> None:
    assert orchboard("import", write(ndjson(results(10))), POSTGRES=database_url).status == 0
    dry = orchboard("import", "--dry-run", "--json", write(ndjson(results(25))), POSTGRES=database_url)
    assert dry.json() == {
        "dry_run": True, "results": 25, "stored": 15, "already_there": 10, "not_kept": 0, "repeated": 0, "refused": 0, "refusals": [],
    }  # fmt: skip
    assert run(query(database_url, STORED)) == 10


def test_a_dry_run_leaves_an_empty_database_empty(
    orchboard: Orchboard, empty_database: str, write: Callable[..., str]
) -> None:
    dry = orchboard("import", "--dry-run", write(ndjson(results(1))), POSTGRES=empty_database)
    assert dry.status == 3 and "--dry-run does not migrate: run `orchboard migrate up`" in dry.err
    assert run(query(empty_database, "SELECT to_regclass('events')")) is None


def test_several_files_are_one_import(
    orchboard: Orchboard, database_url: str, write: Callable[..., str]
) -> None:
    first, second = write(ndjson(results(8)), "a"), write(ndjson(results(12)[4:]), "b")
    done = orchboard("import", first, second, POSTGRES=database_url)
    assert done.out.startswith("imported 12 of 16 ") and "4 repeated" in done.out
    bad = write(b'{"a":1}\n', "c")
    assert orchboard("import", write(ndjson(results(20)), "d"), bad, POSTGRES=database_url).status == 1
    assert run(query(database_url, STORED)) == 12


def test_standard_input_is_a_file_too(orchboard: Orchboard, database_url: str) -> None:
    done = orchboard("import", "-", stdin=ndjson(results(3)), POSTGRES=database_url)
    assert done.out.startswith("imported 3 of 3 ")


def test_a_backup_is_restored_and_its_lines_are_results(
    orchboard: Orchboard, database_url: str, empty_database: str, write: Callable[..., str], tmp_path: Path
) -> None:
    orchboard("import", write(ndjson(results(40))), POSTGRES=database_url)
    backup = tmp_path / "backup.zst"
    orchboard("backup", str(backup), POSTGRES=database_url)
    plain = zstandard.ZstdDecompressor().decompressobj().decompress(backup.read_bytes())
    lines = b"".join(plain.splitlines(keepends=True)[1:-1])
    done = orchboard("import", write(lines), POSTGRES=database_url)
    assert done.out.startswith("imported 0 of 40 ") and "40 already stored" in done.out
    done = orchboard("import", str(backup), POSTGRES=empty_database)
    assert done.out.startswith("restored 40 of 40 results and 0 regions")
    again = orchboard("import", write(plain), POSTGRES=empty_database)
    assert again.out.startswith("restored 0 of 40 results")
    assert "a backup must be imported alone" in orchboard("import", str(backup), "--dry-run").err


@pytest.mark.parametrize("content", [b"", b"hello\n", b"a,b\n1,2\n", b"PAR2"])
def test_a_file_of_another_format_is_refused(
    orchboard: Orchboard, database_url: str, write: Callable[..., str], content: bytes
) -> None:
    done = orchboard("import", write(content), POSTGRES=database_url)
    assert (done.status, done.out) == (1, "")
    assert "it is not a backup, NDJSON, JSON, Parquet, or CSV" in done.err


def test_a_csv_file_with_other_separators_is_refused(
    orchboard: Orchboard, database_url: str, write: Callable[..., str]
) -> None:
    done = orchboard("import", write(b"region;orchestrator\nMDW;0xaa\n"), POSTGRES=database_url)
    assert done.status == 1 and "columns must be separated by commas" in done.err


def test_parquet_without_its_extra_names_it(
    orchboard: Orchboard, database_url: str, write: Callable[..., str]
) -> None:
    done = orchboard("import", write(b"PAR1" + bytes(20)), POSTGRES=database_url)
    assert done.status == 3
    assert (
        done.err
        == "orchboard: `orchboard import` needs pyarrow for Parquet: pip install 'orchboard[parquet]'\n"
    )


def test_an_import_that_is_killed_goes_on(
    database_url: str, write: Callable[..., str], tmp_path: Path
) -> None:
    file = write(ndjson(results(20_000)))
    command = [sys.executable, "-m", "orchboard", "import", file]
    variables = environment(tmp_path, POSTGRES=database_url)
    killed = subprocess.Popen(command, env=variables)
    while run(query(database_url, STORED)) == 0:
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    before = run(query(database_url, STORED))
    assert 0 < before < 20_000
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and f"{before:,} already stored" in done.stdout
    assert run(query(database_url, STORED)) == 20_000


def test_a_region_of_the_other_job_type_is_added_for_this_one(
    orchboard: Orchboard,
    database_url: str,
    settings: Settings,
    start_server: StartServer,
    write: Callable[..., str],
) -> None:
    file = write(ndjson([{**ai(), "region": "PRG", "timestamp": 1_700_000_000}]))
    assert orchboard("import", file, POSTGRES=database_url).out.startswith("imported 1 of 1 ")
    regions = Client(start_server(replace(settings)).url).get("/api/regions").json()["regions"]
    assert {one["type"] for one in regions if one["id"] == "PRG"} == {"ai", "transcoding"}
