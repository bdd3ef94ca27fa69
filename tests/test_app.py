"""The whole server: a database that comes late or goes away, poolers, other versions, housekeeping."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from msgspec.structs import replace

from orchboard.config import Settings
from orchboard.store.embedded.server import EmbeddedPostgres
from tests.support.database import with_database
from tests.support.document_server import documents
from tests.support.samples import ai, transcoding
from tests.support.server import Client, StartServer
from tests.support.temporary_directories import reachable_directory
from tests.support.waiting import wait_until


def test_the_database_of_the_url_is_created_when_it_is_missing(
    settings: Settings, start_server: StartServer, server_url: str
) -> None:
    missing = with_database(server_url, f"late_{time.time_ns()}")
    client = Client(start_server(replace(settings, postgres=missing)).url)
    assert client.post_stats(transcoding()).data == b"ok"


def test_a_server_without_a_database_serves_as_soon_as_there_is_one(
    settings: Settings, start_server: StartServer
) -> None:
    with reachable_directory() as place:
        first = EmbeddedPostgres.start(place / "data", watch=False)
        first.stop()
        client = Client(start_server(replace(settings, postgres=first.url)).url)
        answer = client.get("/api/regions")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert client.post_stats(transcoding(), secret="wrong").status == 403
        again = EmbeddedPostgres.start(place / "data", watch=False)
        try:
            wait_until(lambda: client.get("/api/health").status == 200)
            assert client.post_stats(transcoding()).data == b"ok"
        finally:
            again.stop()
        assert client.get("/api/regions").status == 200, "regions are kept while the database is away"
        assert client.get("/api/aggregated_stats").status == 503
        third = EmbeddedPostgres.start(place / "data", watch=False)
        try:
            wait_until(lambda: client.get("/api/aggregated_stats").status == 200)
            assert client.get("/api/aggregated_stats").json().keys() == {transcoding()["orchestrator"]}
        finally:
            third.stop()


def test_a_result_posted_while_the_database_restarts_waits_for_it(
    settings: Settings, start_server: StartServer
) -> None:
    with reachable_directory() as place:
        first = EmbeddedPostgres.start(place / "data", watch=False)
        client = Client(start_server(replace(settings, postgres=first.url)).url)
        assert client.post_stats(transcoding()).data == b"ok"
        first.stop()
        with ThreadPoolExecutor(1) as poster:
            answer = poster.submit(client.post_stats, transcoding())
            time.sleep(1)
            again = EmbeddedPostgres.start(place / "data", watch=False)
            try:
                assert answer.result().data == b"ok"
            finally:
                again.stop()


CATALYST = {
    "prod": {"full_name": {"fra": "Frankfurt", "xyz": "Xyzzy", " ": "", "long" * 20: "Too long"}, "urls": []}
}


def test_catalyst_regions_are_added_once_and_a_bad_document_changes_nothing(
    settings: Settings, start_server: StartServer
) -> None:
    with documents(b"<html>", json.dumps(CATALYST).encode(), b"{}") as url:
        client = Client(start_server(replace(settings, catalyst_region_url=url, regions_cache_s=0.3)).url)

        def regions() -> list[dict[str, str]]:
            found: list[dict[str, str]] = client.get("/api/regions").json()["regions"]
            return found

        assert len(regions()) == 26
        wait_until(lambda: {"id": "XYZ", "name": "Xyzzy", "type": "transcoding"} in regions())
        assert len(regions()) == 27
        assert client.post_stats(transcoding(region="XYZ")).data == b"ok"


def test_a_catalyst_server_that_is_away_is_no_obstacle(settings: Settings, start_server: StartServer) -> None:
    client = Client(start_server(replace(settings, catalyst_region_url="http://127.0.0.1:1/x")).url)
    assert client.get("/api/regions").status == 200


def test_a_write_is_seen_by_every_question_at_once(client: Client) -> None:
    for number in range(5):
        client.post_stats(transcoding(orchestrator=f"o{number}"))
        client.post_stats(ai(orchestrator=f"o{number}", model=f"m{number}"))
        assert len(client.get("/api/aggregated_stats").json()) == number + 1
        assert len(client.get("/api/pipelines").json()["pipelines"][0]["models"]) == number + 1


@pytest.mark.parametrize(
    "binaries", sorted(Path("/usr/lib/postgresql").glob("*/bin")), ids=lambda path: path.parent.name
)
def test_debians_postgres_serves_as_well(
    binaries: Path, settings: Settings, start_server: StartServer
) -> None:
    with reachable_directory() as place:
        postgres = EmbeddedPostgres.start(place / "data", postgres_bin=binaries, watch=False)
        try:
            client = Client(start_server(replace(settings, postgres=postgres.url)).url)
            assert client.post_stats(ai(), key="k").data == b"ok"
            for path in (
                "aggregated_stats?job_type=ai",
                "pipelines",
                "top_ai_score",
                "raw_stats?orchestrator=o",
                "regions",
                "health",
            ):
                assert client.get(f"/api/{path}").status == 200
        finally:
            postgres.stop()
