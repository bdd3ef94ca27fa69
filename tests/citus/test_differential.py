"""A distributed board answers what a plain board with the same results answers."""

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.store.details.builder import DetailBuilder
from orchboard.store.postgres.database import Database
from orchboard.store.rollups.builder import RollupBuilder
from tests.support.answer_differences import json_differences
from tests.support.citus import CitusCluster, distribute, migrate
from tests.support.database import execute, run
from tests.support.samples import ai, transcoding
from tests.support.server import Answer, Client, StartServer

QUESTIONS = 80

# Results of some forty orchestrators over 40 days, valid and invalid, also with errors, of testers, in mixed case.
INSERT = """
INSERT INTO events (event_time, orchestrator, region_id, tester_id, payload)
SELECT
    $2::timestamptz - interval '40 days' * power(random(), 2),
    CASE WHEN n % 60 = 0 THEN '0xAB' || lpad(to_hex(n % 3), 38, '0') ELSE '0x' || lpad(to_hex(n % 41), 40, '0') END,
    r.id,
    CASE WHEN n % 3 = 0 THEN (SELECT id FROM testers WHERE name = 'ams') END,
    CASE
        WHEN n % 97 = 0 THEN '[1, 2]'
        WHEN n % 89 = 0 THEN '{"success_rate": "x", "round_trip_time": {}}'
        ELSE jsonb_strip_nulls(jsonb_build_object(
            'success_rate', CASE WHEN random() < 0.8 THEN 1 ELSE round(random()::numeric, 2) END,
            'round_trip_time', CASE WHEN n % 83 = 0 THEN -1 WHEN n % 79 = 0 THEN 0 ELSE exp(4 * random()) END,
            'seg_duration', CASE WHEN random() < 0.5 THEN 2 END,
            'pipeline', CASE WHEN j.name = 'ai' OR n % 7 = 0 THEN 'p' || n % 2 END,
            'model', CASE WHEN j.name = 'ai' THEN 'm' || n % 3 END,
            'test_outcome', CASE WHEN n % 11 = 0 THEN 'unscored_timeout' END,
            'model_is_warm', n % 5 = 0,
            'errors', CASE WHEN n % 6 = 0 THEN jsonb_build_array(jsonb_build_object('error_code', 'E' || n % 4, 'count', 1)) END
        ))
    END
FROM generate_series(1, $1::integer) n
JOIN LATERAL (
    SELECT id, job_type_id FROM regions WHERE name IN ('FRA', 'MDW', 'LAX') ORDER BY random(), n LIMIT 1
) r ON true
JOIN job_types j ON j.id = r.job_type_id
"""

_COLUMNS = "id, event_time, orchestrator, region_id, payload, tester_id"


async def _copy(source: str, target: str) -> None:
    """Give a second database the same results, in another order."""
    one, other = await asyncpg.connect(source), await asyncpg.connect(target)
    try:
        rows = await one.fetch(f"SELECT {_COLUMNS} FROM events ORDER BY md5(id::text)")
        testers = map(tuple, await one.fetch("SELECT name FROM testers ORDER BY id"))
        await other.executemany("INSERT INTO testers (name) VALUES ($1)", testers)
        await other.executemany(
            f"INSERT INTO events ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6)", map(tuple, rows)
        )
    finally:
        await one.close()
        await other.close()


async def _fill(url: str, number: int, until: datetime) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("INSERT INTO testers (name) VALUES ('ams')")
        await connection.execute(INSERT, number, until)
    finally:
        await connection.close()


async def _build(url: str) -> None:
    database = Database(url, connections=1, timeout_s=60)
    connection = await database.connect()
    try:
        await RollupBuilder(connection).run()
        await DetailBuilder(connection).run()
    finally:
        connection.terminate()
        await database.close()


@pytest.fixture
def plain(cluster: CitusCluster) -> Iterator[str]:
    for url in cluster.new_database():
        run(migrate(url))
        yield url


def _serve(start: StartServer, settings: Settings, url: str) -> Client:
    return Client(start(replace(settings, postgres=url)).url)


def _questions(chance: random.Random, now: datetime) -> Iterator[tuple[str, dict[str, object]]]:
    """Random questions to endpoints whose answers depend on the results alone."""
    addresses = [f"0x{number:040x}" for number in range(41)] + [f"0xab{number:038x}" for number in range(3)]
    addresses += ["0X" + "0" * 39 + "1", "x" * 57, "x" * 300, ""]
    for _ in range(QUESTIONS):
        seconds = chance.choice([600, 3600, 86400, 7 * 86400, 45 * 86400])
        until = int(now.timestamp()) - chance.choice([0, 0, 1800, 86400, 3 * 86400])
        params: dict[str, object] = {"since": until - seconds, "until": until}
        if chance.random() < 0.3:
            params["region"] = chance.choice(["FRA", "MDW", "GLOBAL", "NONE"])
        if chance.random() < 0.3:
            params["job_type"] = chance.choice(["ai", "transcoding"])
        if chance.random() < 0.3:
            params |= {"pipeline": f"p{chance.randrange(2)}", "model": f"m{chance.randrange(3)}"}
        one: dict[str, object] = {"orchestrator": chance.choice(addresses)}
        asked: list[tuple[str, dict[str, object]]] = [
            ("/api/aggregated_stats", {}), ("/api/aggregated_stats", one), ("/api/raw_stats", one),
            ("/api/raw_stats", {**one, "limit": 7}), ("/api/pipelines", {}), ("/api/top_ai_score", one),
            ("/api/leaderboard", {}), ("/api/history", {**one, "bucket": "day"}), ("/api/history", {"bucket": "hour"}),
            ("/api/uptime", one), ("/api/errors", {}), ("/api/errors", one), ("/api/coverage", {}),
            ("/api/export", {"format": "ndjson", "limit": 50}), ("/api/export", {**one, "format": "csv"}),
            (f"/api/orchestrators/{chance.choice(addresses[:41])}", {}), ("/api/regions", {}),
        ]  # fmt: skip
        path, extra = chance.choice(asked)
        yield path, params | extra


_OF_THE_MOMENT = {"now", "computed_at", "generated_at", "took_ms", "data_until", "age_s"}


def _content(answer: Answer) -> Any:
    try:
        value = answer.json()
    except json.JSONDecodeError:
        return answer.data.decode()
    if isinstance(value, dict):
        return {name: item for name, item in value.items() if name not in _OF_THE_MOMENT}
    return value


def _differences(plain: Client, other: Client, seed: int, now: datetime) -> list[str]:
    found = []
    for path, params in _questions(random.Random(seed), now):
        one, two = plain.get(path, **params), other.get(path, **params)
        if one.status != two.status:
            found.append(f"{path} {params}: {two.status} {two.data[:200]!r}, not {one.status}")
        else:
            found += [f"{params} {each}" for each in json_differences(_content(two), _content(one), path)][:3]
    return found


@pytest.fixture
def boards(
    plain: str, plain_on_cluster: str, settings: Settings, start_server: StartServer
) -> tuple[Client, Client, datetime]:
    """A plain and a distributed board with the same results, with rollups of a part of them."""
    now = datetime.now(UTC) - timedelta(minutes=1)
    run(_fill(plain, 6000, now))
    run(distribute(plain_on_cluster))
    run(_copy(plain, plain_on_cluster))
    for url in (plain, plain_on_cluster):
        run(execute(url, "SELECT setval('events_id_seq', 100000)", "ANALYZE events"))
    return _serve(start_server, settings, plain), _serve(start_server, settings, plain_on_cluster), now


def test_both_boards_answer_the_same(
    boards: tuple[Client, Client, datetime], plain: str, plain_on_cluster: str
) -> None:
    one, other, now = boards
    assert _differences(one, other, 1, now) == []
    run(_build(plain))
    run(_build(plain_on_cluster))
    assert _differences(one, other, 2, now) == []
    for number in range(40):
        orchestrator = f"0x{number % 41:040x}"
        stats = ai(orchestrator=orchestrator) if number % 2 else transcoding(orchestrator=orchestrator)
        key = f"key-{number % 15}" if number % 3 == 0 else None
        answers = [board.post_stats(stats, key=key).status for board in (one, other)]
        assert answers[0] == answers[1], (number, answers)
    # The boards received these results at different times.
    assert [each for each in _differences(one, other, 3, now) if " last_at: " not in each] == []
    for question in (
        "/api/aggregated_stats?since=1",
        "/api/raw_stats?since=1&orchestrator=0x" + "0" * 39 + "3",
    ):
        assert list(json_differences(other.get(question).json(), one.get(question).json(), question)) == []
