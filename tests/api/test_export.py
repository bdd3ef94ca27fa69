"""GET /api/export"""

import csv
import gzip
import io
import json
from collections.abc import Callable
from datetime import datetime
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlencode

import asyncpg
import brotli  # type: ignore[import-untyped] # it has no types
import pytest
import zstandard

from tests.support.database import run
from tests.support.samples import ai, transcoding
from tests.support.server import Client


def rows_of(client: Client, **asked: object) -> list[dict[str, Any]]:
    answer = client.get("/api/export", **asked)
    assert answer.status == 200, answer.data
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.data.splitlines()]


def cursor_of(row: dict[str, Any]) -> str:
    return f"{row['event_time']}_{row['id']}" if "id" in row else f"{row['bucket']}_{row['series']}"


def test_every_stored_result_is_a_row_in_the_order_of_receipt(client: Client) -> None:
    assert rows_of(client) == []
    for number in range(3):
        client.post_stats(transcoding(orchestrator="O", round_trip_time=number))
    client.post_stats(ai(test_outcome="unscored_busy"))
    rows = rows_of(client)
    assert [(row["event_time"], row["id"]) for row in rows] == sorted(
        (row["event_time"], row["id"]) for row in rows
    )
    assert [row["round_trip_time"] for row in rows[:3]] == [0, 1, 2]
    assert [row["scored"] for row in rows] == [True, True, True, False]
    assert rows[0] | {"event_time": "", "id": 0} == {
        "event_time": "",
        "id": 0,
        "orchestrator": "o",
        "region": "MDW",
        "job_type": "transcoding",
        "pipeline": "",
        "model": "",
        "tester": "",
        "scored": True,
        "success_rate": rows[0]["success_rate"],
        "round_trip_time": 0,
        "seg_duration": rows[0]["seg_duration"],
    }


RESULTS = """
INSERT INTO events (event_time, orchestrator, region_id, payload, tester_id)
SELECT
    date_trunc('day', now()) - interval '3 days' + (i / 3) * interval '97.123457 s' * least(1, 3000.0 / %s),
    CASE WHEN i % 7 = 0 THEN '0xABC' ELSE '0xabc' || i % 5 END, r.id,
    jsonb_build_object(
        'success_rate', (i % 3 > 0)::int, 'round_trip_time', (i * 7919 % 1000) / 37.0, 'seg_duration', i % 2,
        'pipeline', CASE WHEN j.name = 'ai' THEN 'p' || i % 2 ELSE '' END, 'model', CASE WHEN j.name = 'ai' THEN 'm' ELSE '' END
    ) || CASE WHEN i % 11 = 0 THEN '{"test_outcome": "unscored_busy"}' ELSE '{}' END::jsonb,
    CASE WHEN i % 4 = 0 THEN t.id END
FROM generate_series(1, %s) i
JOIN regions r ON r.name = (ARRAY['FRA', 'MDW', 'LAX'])[1 + i %% 3]
JOIN job_types j ON j.id = r.job_type_id AND (r.name = 'FRA') = (j.name = 'ai')
CROSS JOIN testers t
"""
TESTER = "INSERT INTO testers (name, key) VALUES ('tester \"7\"', 'k')"
NUMBER = 3000


def fill(execute: Callable[..., None], number: int = NUMBER) -> None:
    execute(TESTER, RESULTS.replace("%s", str(number)).replace("%%", "%"))


def stored(database_url: str) -> list[dict[str, Any]]:
    """The oracle: what plain SQL says of all results."""

    async def fetch() -> list[Any]:
        connection = await asyncpg.connect(database_url)
        try:
            return await connection.fetch(
                "SELECT e.event_time, e.id, lower(e.orchestrator) AS orchestrator, r.name AS region, j.name AS job_type, "
                "e.payload ->> 'pipeline' AS pipeline, e.payload ->> 'model' AS model, coalesce(t.name, '') AS tester, "
                "coalesce(e.payload ->> 'test_outcome', '') NOT LIKE 'unscored%' AS scored, "
                "(e.payload ->> 'success_rate')::float8 AS success_rate, "
                "(e.payload ->> 'round_trip_time')::float8 AS round_trip_time, "
                "(e.payload ->> 'seg_duration')::float8 AS seg_duration, e.payload::text AS payload "
                "FROM events e JOIN regions r ON r.id = e.region_id JOIN job_types j ON j.id = r.job_type_id "
                "LEFT JOIN testers t ON t.id = e.tester_id ORDER BY e.event_time, e.id"
            )
        finally:
            await connection.close()

    rows = [dict(row) for row in run(fetch())]
    for row in rows:
        row["event_time"] = row["event_time"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        row["payload"] = json.loads(row["payload"])
    return rows


def without_payload(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "payload"} for row in rows]


@pytest.fixture
def filled(execute: Callable[..., None], database_url: str) -> list[dict[str, Any]]:
    """The stored results, by plain SQL."""
    fill(execute)
    return stored(database_url)


def test_rows_equal_those_of_plain_sql(client: Client, filled: list[dict[str, Any]]) -> None:
    assert len(filled) == NUMBER
    assert rows_of(client, window="7d") == without_payload(filled)
    assert rows_of(client, window="7d", payload="true") == filled
    for asked, selects in FILTERS:
        expected = [row for row in filled if selects(row)]
        assert rows_of(client, window="7d", **asked) == without_payload(expected), asked
        assert expected


FILTERS: list[tuple[dict[str, str], Callable[[dict[str, Any]], bool]]] = [
    ({"orchestrator": "0xABC1"}, lambda row: row["orchestrator"] == "0xabc1"),
    ({"orchestrator": "0xabc"}, lambda row: row["orchestrator"] == "0xabc"),  # stored in mixed case
    ({"region": "fra"}, lambda row: row["region"] == "FRA"),
    ({"job_type": "ai"}, lambda row: row["job_type"] == "ai"),
    ({"pipeline": "p1"}, lambda row: row["pipeline"] == "p1"),
    ({"model": "m"}, lambda row: row["model"] == "m"),
    ({"tester": 'tester "7"'}, lambda row: row["tester"] != ""),
    ({"scored": "true"}, lambda row: row["scored"]),
    ({"scored": "false", "region": "MDW"}, lambda row: not row["scored"] and row["region"] == "MDW"),
]


def unix(text: str) -> str:
    """Unix seconds, to the microsecond."""
    microseconds = round(datetime.fromisoformat(text).timestamp() * 1_000_000)
    return f"{microseconds // 1_000_000}.{microseconds % 1_000_000:06}"


def test_a_window_includes_both_its_ends(client: Client, filled: list[dict[str, Any]]) -> None:
    first, last = filled[700], filled[1500]
    ends = {name: unix(row["event_time"]) for name, row in (("since", first), ("until", last))}
    expected = [row for row in filled if first["event_time"] <= row["event_time"] <= last["event_time"]]
    assert rows_of(client, **ends) == without_payload(expected)


def test_an_export_continues_after_any_row(client: Client, filled: list[dict[str, Any]]) -> None:
    rows = without_payload(filled)
    for position in (0, 1, 2, 499, 500, 501, 2998):
        assert rows_of(client, window="7d", cursor=cursor_of(rows[position])) == rows[position + 1 :]
    assert rows_of(client, window="7d", cursor=cursor_of(rows[-1])) == []
    assert rows_of(client, window="7d", cursor=cursor_of(rows[1]), limit=2) == rows[2:4]
    assert rows_of(client, window="1h", cursor=cursor_of(rows[1])) == [], "the window still counts"
    few = [row for row in rows if not row["scored"] and row["region"] == "MDW"]
    for number in (1, 7, len(few)):
        assert rows_of(client, window="7d", scored="false", region="MDW", limit=number) == few[:number]


def test_csv_has_the_same_rows(client: Client, filled: list[dict[str, Any]]) -> None:
    answer = client.get("/api/export", window="7d", format="csv", payload="true")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.data.count(b"\r\n") == answer.data.count(b"\n") == NUMBER + 1
    header, *lines = csv.reader(io.StringIO(answer.data.decode(), newline=""))
    assert header == list(filled[0])
    shown = [dict(zip(header, line, strict=True)) for line in lines]
    assert [line["orchestrator"] + line["tester"] for line in shown] == [
        row["orchestrator"] + row["tester"] for row in filled
    ]
    for line, row in zip(shown, filled, strict=True):
        assert json.loads(line["payload"]) == row["payload"]
        assert [float(line[name]) for name in NUMBERS] == [row[name] for name in NUMBERS]
    rest = client.get("/api/export", window="7d", format="csv", payload="true", cursor=cursor_of(filled[10]))
    assert rest.data == answer.data.split(b"\r\n", 12)[12], (
        "without a header, so that the parts can be joined"
    )


NUMBERS = ("id", "success_rate", "round_trip_time", "seg_duration")
HOSTILE = {
    '=HYPERLINK("http://x","y")': '\'=HYPERLINK("http://x","y")',
    "+cmd|' /C calc'!A0": "'+cmd|' /C calc'!A0",
    "-2+3": "'-2+3",
    "@SUM(1)": "'@SUM(1)",
    "\t=1": "'\t=1",
    "\r=1": "'\r=1",
    "\n=1": "'\n=1",
    "-12.5e3": "-12.5e3",
    "+1": "+1",
    'a "b", c\r\nd': 'a "b", c\r\nd',
    "ß=1\u2028": "ß=1\u2028",
    "'x": "'x",
}


@pytest.mark.parametrize("what", ["results", "rollups"])
def test_hostile_text_is_text_in_every_format(client: Client, what: str) -> None:
    for name in HOSTILE:
        assert client.post_stats(ai(model=name, pipeline=name)).data == b"ok"
    assert {row["model"] for row in rows_of(client, what=what)} == HOSTILE.keys()
    answer = client.get("/api/export", format="csv", what=what)
    lines = list(csv.DictReader(io.StringIO(answer.data.decode(), newline="")))
    assert sorted(line["model"] for line in lines) == sorted(HOSTILE.values())
    assert sorted(line["pipeline"] for line in lines) == sorted(HOSTILE.values())


@pytest.mark.parametrize("encoding", ["gzip", "zstd", "br", "identity"])
def test_an_export_comes_in_the_accepted_encoding(
    client: Client, filled: list[dict[str, Any]], encoding: str
) -> None:
    answer = client.request(
        "GET",
        "/api/export?window=7d",
        headers={"Accept-Encoding": encoding},
        preload_content=True,
        decode_content=False,
    )
    assert answer.headers.get("Content-Encoding", "identity") == encoding
    assert "Content-Length" not in answer.headers
    decode: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.decompress,
        "zstd": lambda data: zstandard.ZstdDecompressor().decompressobj().decompress(data),
        "br": brotli.decompress,
        "identity": bytes,
    }
    rows = [json.loads(line) for line in decode[encoding](answer.data).splitlines()]
    assert rows == without_payload(filled)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"what": "errors"}, "what must be one of results, rollups, not 'errors'"),
        ({"format": "xls"}, "format must be one of ndjson, csv, parquet, not 'xls'"),
        ({"bucket": "1m"}, "bucket must be one of 1h, 1d, not '1m'"),
        ({"what": "rollups", "scored": "true"}, "scored can't be combined with what=rollups"),
        ({"cursor": "7"}, "cursor must be <event_time>_<id> of the last row received, not '7'"),
        (
            {"what": "rollups", "cursor": "2026-01-01T00:00:00Z_7"},
            "cursor must be <bucket>_<series> of the last row received, not '2026-01-01T00:00:00Z_7'",
        ),
        ({"limit": "-1"}, "limit must be a whole number from 1 to 1000000000000, not '-1'"),
        ({"payload": "yes"}, "payload must be true or false, not 'yes'"),
    ],
)
def test_a_wrong_parameter_is_named(client: Client, asked: dict[str, str], message: str) -> None:
    answer = client.get("/api/export", **asked)
    assert (answer.status, answer.json()) == (400, {"error": message})


@pytest.mark.skipif(find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_without_pyarrow_is_refused(client: Client) -> None:
    answer = client.get("/api/export", format="parquet")
    assert answer.status == 400
    assert "pip install 'orchboard[parquet]'" in answer.json()["error"]


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="needs the extra `parquet`")
@pytest.mark.parametrize("what", ["results", "rollups"])
def test_parquet_has_the_same_rows(client: Client, filled: list[dict[str, Any]], what: str) -> None:
    import pyarrow.parquet

    asked = {"window": "7d", "what": what} | ({"payload": "true"} if what == "results" else {})
    answer = client.request(
        "GET", "/api/export?" + urlencode(asked | {"format": "parquet"}), headers={"Accept-Encoding": "zstd"}
    )
    assert "Content-Encoding" not in answer.headers, "its columns are compressed"
    assert answer.headers["Content-Type"] == "application/vnd.apache.parquet"
    rows = pyarrow.parquet.read_table(io.BytesIO(answer.data)).to_pylist()
    expected = rows_of(client, **asked)
    for row in expected:
        row |= {name: moment(row[name]) for name in TIMES if name in row}
    for row in rows:
        row |= {name: json.loads(row[name]) for name in ("payload",) if name in row}
    assert rows == expected
    assert len(rows) == (len(filled) if what == "results" else len({cursor_of(row) for row in rows}))


TIMES = ("event_time", "bucket", "first_at", "last_at")


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize("bucket", ["1h", "1d"])
def test_rollups_equal_sums_of_the_rows(client: Client, filled: list[dict[str, Any]], bucket: str) -> None:
    rollups = rows_of(client, what="rollups", window="7d", bucket=bucket)
    keys = [(row["bucket"], row["series"]) for row in rollups]
    assert keys == sorted(set(keys))
    expected: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in filled:
        start = moment(row["event_time"]).replace(minute=0, second=0, microsecond=0)
        start = start.replace(hour=0) if bucket == "1d" else start
        expected.setdefault((start, *(row[name] for name in SERIES)), []).append(row)
    assert len(rollups) == len(expected)
    for rollup in rollups:
        rows = expected[moment(rollup["bucket"]), *(rollup[name] for name in SERIES)]
        scored = [row for row in rows if row["scored"]]
        assert (rollup["results"], rollup["unscored"]) == (len(scored), len(rows) - len(scored))
        assert rollup["successes"] == sum(row["success_rate"] == 1 for row in scored)
        assert rollup["sum_round_trip_time"] == pytest.approx(
            sum(row["round_trip_time"] for row in scored), rel=1e-9
        )
        times = sorted(
            row["round_trip_time"] for row in scored if row["success_rate"] == 1 and row["round_trip_time"]
        )
        assert rollup["round_trips"] == len(times)
        for percent in (50, 90, 99):
            assert rollup[f"p{percent}"] == (quantile(times, percent / 100) if times else None)
        mean = sum(row["round_trip_time"] for row in scored) / max(len(scored), 1)
        moments = sum((row["round_trip_time"] - mean) ** 2 for row in scored)
        assert rollup["moment_round_trip_time"] == pytest.approx(moments, rel=1e-9, abs=1e-9)
        assert moment(rollup["first_at"]) == moment(rows[0]["event_time"])
        assert moment(rollup["last_at"]) == moment(rows[-1]["event_time"])


SERIES = ("orchestrator", "region", "job_type", "pipeline", "model", "tester")


def quantile(values: list[float], fraction: float) -> float:
    rank = fraction * (len(values) - 1)
    low = int(rank)
    return values[low] + (rank - low) * (values[min(low + 1, len(values) - 1)] - values[low])


def test_rollups_continue_after_any_row(client: Client, filled: list[dict[str, Any]]) -> None:
    rows = rows_of(client, what="rollups", window="7d")
    for position in (0, 1, len(rows) // 2, len(rows) - 1):
        cursor = cursor_of(rows[position])
        assert rows_of(client, what="rollups", window="7d", cursor=cursor) == rows[position + 1 :]
    assert rows_of(client, what="rollups", window="7d", limit=3) == rows[:3]
    assert filled
