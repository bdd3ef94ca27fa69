"""orchboard serve with two workers: /metrics has the sums over both, whichever answers, and they only grow."""

import os
import signal
from pathlib import Path

from tests.cli.test_serve_workers import one_to_each_worker
from tests.serving.test_supervisor import ON_LINUX, serving, workers_of
from tests.support.metrics import Metrics
from tests.support.raw_http import Wire, get, post
from tests.support.samples import ai, transcoding
from tests.support.waiting import wait_until

pytestmark = ON_LINUX

SCORES = "/api/aggregated_stats"


def read(wire: Wire) -> Metrics:
    return Metrics(wire.ask(get("/metrics")).body.decode())


def totals(metrics: Metrics) -> dict[str, float]:
    """The totals that the requests of this test change."""
    return {
        "scores": metrics.count("orchboard_http_requests_total", route=SCORES, status="200"),
        "timed": metrics.count("orchboard_http_request_duration_seconds_count", route=SCORES),
        "transcoding": metrics.count("orchboard_accepted_results_total", tester="", job_type="transcoding"),
        "ai": metrics.count("orchboard_accepted_results_total", tester="", job_type="ai"),
        "inserted": metrics.count("orchboard_insert_batch_results_sum"),
    }


def both_show(port: int, expected: dict[str, float]) -> None:
    """Both workers show these totals, and the connections of both, a second later at most."""
    for wire in one_to_each_worker(port):
        with wire:
            wait_until(lambda: totals(read(wire)) == expected)  # noqa: B023 - called in this round
            assert read(wire).value("orchboard_database_connections_max") == 20


def ask_both(port: int) -> None:
    """One query of each worker."""
    for wire in one_to_each_worker(port):
        with wire:
            assert wire.ask(get(SCORES)).status == 200


def test_each_worker_shows_what_both_have_counted_also_after_they_are_replaced(
    database_url: str, tmp_path: Path
) -> None:
    expected = {"scores": 70.0, "timed": 70.0, "transcoding": 3.0, "ai": 4.0, "inserted": 7.0}
    with serving(database_url, tmp_path, 2) as (program, port):
        one, other = one_to_each_worker(port)
        for wire, requests, result, results in ((one, 30, transcoding(), 3), (other, 40, ai(), 4)):
            with wire:
                for _ in range(requests):
                    assert wire.ask(get(SCORES)).status == 200
                for _ in range(results):
                    assert wire.ask(post(result)).body == b"ok"
        both_show(port, expected)

        before = workers_of(program)
        os.kill(min(before), signal.SIGKILL)
        wait_until(lambda: len(workers_of(program)) == 2 and workers_of(program) != before)
        both_show(port, expected)
        ask_both(port)
        both_show(port, expected | {"scores": 72, "timed": 72})

        before = workers_of(program)
        program.send_signal(signal.SIGHUP)
        wait_until(lambda: len(workers_of(program)) == 2 and not before & workers_of(program))
        ask_both(port)
        both_show(port, expected | {"scores": 74, "timed": 74})
