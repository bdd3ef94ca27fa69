import json
import time

import pytest

from tests.support.program import Orchboard
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Client, RunningServer, StartServer


def test_scores_are_a_table_sorted_by_score(
    orchboard: Orchboard, server: RunningServer, client: Client
) -> None:
    client.post_stats(transcoding(orchestrator="0xbad", success_rate=0.5))
    client.post_stats(transcoding(orchestrator="0xgood"))
    done = orchboard("get", "scores", ORCHBOARD_URL=server.url)
    heading, _, *rows = [line.split() for line in done.out.splitlines()]
    assert heading == ["orchestrator", "region", "success", "round", "trip", "score"]
    assert [row[0] for row in rows] == ["0xgood", "0xbad"]
    assert rows[0][1:] == ["MDW", "1.000", "0.736", "0.736"]


def test_json_is_the_answer_as_it_came(orchboard: Orchboard, server: RunningServer, client: Client) -> None:
    client.post_stats(ai())
    done = orchboard(
        "get", "raw", "--orchestrator", ORCHESTRATOR, "--job-type", "ai", "--json", "--url", server.url
    )
    assert (
        done.out.encode()
        == client.get("/api/raw_stats", orchestrator=ORCHESTRATOR, job_type="ai").data + b"\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("raw", "--orchestrator", ORCHESTRATOR, "--pipeline", "text-to-image"),
            ("FRA", "2.500", "OrchestratorError"),
        ),
        (("pipelines",), ("text-to-image", "ByteDance/SDXL-Lightning", "FRA")),
        (("regions",), ("transcoding", "Chicago", "GLOBAL")),
        (("top",), (ORCHESTRATOR, "0.93")),
        (("top_ai_score",), (ORCHESTRATOR,)),
        (("health",), ("postgres", "yes")),
    ],
)
def test_every_answer_has_a_table(
    orchboard: Orchboard,
    server: RunningServer,
    client: Client,
    arguments: tuple[str, ...],
    words: tuple[str, ...],
) -> None:
    client.post_stats(ai(errors=[{"error_code": "OrchestratorError", "count": 1}]))
    done = orchboard("get", *arguments, "--url", server.url)
    assert done.status == 0
    assert all(word in done.out for word in words), done.out


def test_a_window_may_be_written_as_people_do(
    orchboard: Orchboard, server: RunningServer, client: Client
) -> None:
    client.post_stats(transcoding())
    day_after_tomorrow = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 2 * 86400))
    assert ORCHESTRATOR in orchboard("get", "scores", "--since", "7d", "--url", server.url).out
    nothing = orchboard("get", "scores", "--since", day_after_tomorrow, "--url", server.url)
    assert (nothing.status, nothing.out, nothing.err) == (0, "", "no results in this window\n")


def test_what_the_server_refuses_is_one_sentence(orchboard: Orchboard, server: RunningServer) -> None:
    done = orchboard("get", "raw", "--url", server.url)
    assert (done.status, done.out, done.err) == (1, "", "orchboard: orchestrator is a required parameter\n")


def test_an_unwell_server_says_so_in_the_exit_status(orchboard: Orchboard, start_server: StartServer) -> None:
    from msgspec.structs import replace

    from orchboard.config import read_settings

    away = replace(read_settings({}), postgres="postgresql://u@127.0.0.1:1/x", db_timeout_s=1.0)
    server = start_server(away)
    done = orchboard("get", "health", "--url", server.url)
    assert (done.status, "no" in done.out.split()) == (1, True)
    assert (
        json.loads(orchboard("get", "health", "--json", "--url", server.url).out)["postgres"]["ok"] is False
    )


def test_nothing_from_a_server_reaches_the_terminal_as_a_command(
    orchboard: Orchboard, server: RunningServer, client: Client
) -> None:
    client.post_stats(ai(pipeline="a\x1b[31mred"))
    assert "\x1b" not in orchboard("get", "pipelines", "--url", server.url).out
