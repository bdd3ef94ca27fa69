"""Rows that anybody may have written, whatever is in them: every endpoint answers, and others' answers stay as they are."""

import itertools
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import asyncpg
import pytest
from msgspec.structs import replace

from orchboard.api.endpoint import Endpoint
from orchboard.api.routes import ROUTES
from orchboard.config import Settings
from orchboard.store.schema.migrate import migrate_to
from tests.apidocs.test_openapi import answer_schema, schema_errors
from tests.support.database import run
from tests.support.foreign_rows import NO_OBJECTS, NUMBERS, OTHERS, TEXTS
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, StartServer

DEEP = "[" * 3000 + "]" * 3000
NOT_A_NUMBER = [text for text, counted, _ in NUMBERS if counted == 0] + [
    '"1e-999999999999"',
    f'"{"9" * 200_000}"',
    DEEP,
]
HUGE = [text for text, counted, _ in NUMBERS if abs(counted) > 1] + ["9" * 5000, '"-1e999999999999"']
PAYLOADS = [
    *NO_OBJECTS,
    "{}",
    DEEP,
    *(text for text, _ in OTHERS),
    *(
        f'{{"{member}": {text}, "pipeline": "p", "model": "m"}}'
        for member in ("success_rate", "round_trip_time", "seg_duration")
        for text in (*NOT_A_NUMBER, *HUGE)
    ),
    *(f'{{"{member}": {text}}}' for member in ("pipeline", "model", "region", "orchestrator") for text, _, _ in TEXTS),
    *(f'{{"{member}": {text}}}' for member in ("errors", "timestamp", "test_outcome", "mine") for text in (*NOT_A_NUMBER, *HUGE)),
    json.dumps({"pipeline": "p" * 10_000, "model": "é" * 10_000, "k" * 10_000: 1}),
    '{"errors": [[], 1, null, {"count": 1e400}, {"count": {}, "error_code": 5, "message": []}]}',
]  # fmt: skip

INSERT = """
INSERT INTO events (orchestrator, region_id, payload)
SELECT $1, r.id, $2::text::jsonb FROM regions r JOIN job_types j ON j.id = r.job_type_id
WHERE r.name = 'FRA'
"""
GOOD = (
    ai(),
    ai(orchestrator="0xb", round_trip_time=3),
    transcoding(region="FRA"),
    transcoding(orchestrator="0xb"),
)


async def reference_layout(url: str) -> None:
    """The database as the reference leaves it, with one of its oldest tables still there."""
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE fra (id serial PRIMARY KEY, stats jsonb)")
    await connection.executemany("INSERT INTO fra (stats) VALUES ($1)", [(each,) for each in PAYLOADS])
    await connection.close()
    await migrate_to(lambda: asyncpg.connect(url, statement_cache_size=0), 3)


async def poison(url: str) -> None:
    """Every payload under one orchestrator, the same in another case and a blank one, for both job types."""
    connection = await asyncpg.connect(url)
    for orchestrator in ("0xpoison", "0xPOISON", ""):
        await connection.executemany(INSERT, [(orchestrator, payload) for payload in PAYLOADS])
    await connection.close()


def questions(endpoint: Endpoint) -> Iterator[str]:
    """Requests with the parameters that the endpoint has."""
    names = {param.name for param in endpoint.params}
    about = [{"orchestrator": "0xpoison"}, {"orchestrator": ORCHESTRATOR}]
    about += [] if endpoint.name == "raw_stats" else [{}, {"region": "FRA"}]
    narrower = [
        {},
        {"job_type": "ai"},
        {"job_type": "transcoding"},
        {"pipeline": "p", "model": "m"},
        {"since": "1"},
    ]
    always = {"orchestrators": f"0xpoison,{ORCHESTRATOR}"} if "orchestrators" in names else {}
    for one, other in itertools.product(about, narrower):
        given = {name: value for name, value in (one | other).items() if name in names} | always
        yield f"{endpoint.example_path}?{urlencode(given)}"


def answers(client: Client) -> dict[str, Any]:
    """The answers that are about somebody else."""
    cells = {
        target: {each: client.get(target).json().get(each) for each in (ORCHESTRATOR, "0xb")}
        for target in ("/api/aggregated_stats", "/api/aggregated_stats?job_type=transcoding&region=FRA",
                       "/api/aggregated_stats?pipeline=text-to-image&model=ByteDance/SDXL-Lightning")
    }  # fmt: skip
    whole = [f"/api/raw_stats?orchestrator={ORCHESTRATOR}", "/api/raw_stats?orchestrator=0xb&job_type=ai",
             f"/api/top_ai_score?orchestrator={ORCHESTRATOR}", "/api/regions"]  # fmt: skip
    pipelines = client.get("/api/pipelines").json()["pipelines"]
    return (
        cells
        | {target: client.get(target).json() for target in whole}
        | {"pipelines": [each for each in pipelines if each["id"] == "text-to-image"]}
    )


@pytest.mark.parametrize("how", ["beside the server", "by the reference"])
def test_no_row_spoils_an_answer(
    settings: Settings, database_url: str, empty_database: str, start_server: StartServer, how: str
) -> None:
    clean = Client(start_server(settings).url)
    for result in GOOD:
        assert clean.post_stats(result).data == b"ok"
    expected = answers(clean)
    url, by_reference = (empty_database, True) if how == "by the reference" else (database_url, False)
    if by_reference:
        run(reference_layout(url))
    run(poison(url))
    client = Client(start_server(replace(settings, postgres=url)).url)
    if by_reference:
        for result in GOOD:
            assert client.post_stats(result).data == b"ok"
    assert answers(client) == expected
    for endpoint in ROUTES:
        if endpoint.method == "GET" and not endpoint.bearer and endpoint.media_type == "application/json":
            for target in questions(endpoint):
                answer = client.get(target)
                assert answer.status == 200, (target, answer.data)
                closed = endpoint.name != "raw_stats"
                assert schema_errors(answer.json(), answer_schema(endpoint, 200), closed=closed) == []
    rows = client.get("/api/raw_stats", orchestrator="0xpoison", since=1).json()
    assert sum(map(len, rows.values())) == 2 * len(PAYLOADS), "each is given back, readable or not"
