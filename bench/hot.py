"""Cached answers: one worker on one core against Go's net/http and nginx on the same core."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from msgspec.structs import replace

from bench.connection import Connection, Reply
from bench.effort import Effort
from bench.figures import Line, Outcome, Plot, Row, in_ms, median_of
from bench.hot_peers import go_peer, nginx_peer, write_answers
from bench.server import Server, on_database, serving
from bench.wrk import Run, run_wrk

CONNECTIONS = 32
ANSWERS = {"small": "/api/regions", "large": "/api/aggregated_stats?region=FRA"}
GO_TARGETS = {"small": 1.3, "large": 1.5}
NGINX_TARGET = 0.9
PLOTTED = (1, 2, 4, 8, 16, 32, 64, 128)


def measure_hot(server: Server, url: str, directory: Path, effort: Effort, *, plotted: bool) -> Outcome:
    """Measure cached answers a second.

    server -- on the database at url, without an access log
    directory -- for answers and the files of the peers
    plotted -- whether to measure other numbers of connections too
    """
    cores = sorted(os.sched_getaffinity(0))
    with Connection(server.port) as connection:
        replies = {name: connection.get(path) for name, path in ANSWERS.items()}
    write_answers(directory, replies)
    outcome = Outcome()
    with ExitStack() as stack:
        peers = {
            "ours": server,
            "Go": stack.enter_context(go_peer(directory, [*replies])),
            "nginx": stack.enter_context(nginx_peer(directory, replies)),
            "logging": stack.enter_context(serving(on_database(url), log_level="info")),
        }
        for name in peers.values():
            name.pin({cores[0]})
        try:
            for answer, reply in replies.items():
                _check_same(answer, reply, peers)
                runs = _interleave(answer, peers, effort, cores[-1])
                outcome.rows += _rows(answer, len(reply.body), runs)
            if plotted:
                del peers["logging"]
                outcome.plots.append(_plot(peers, effort, cores[-1]))
        finally:
            server.pin(set(cores))
    return outcome


def _path(answer: str, peer: str) -> str:
    return f"/{answer}" if peer in ("Go", "nginx") else ANSWERS[answer]


def _check_same(answer: str, reply: Reply, peers: Mapping[str, Server]) -> None:
    """Raise RuntimeError unless the peers send the same body and every header."""
    for name in ("Go", "nginx"):
        with Connection(peers[name].port) as connection:
            theirs = connection.get(_path(answer, name))
        missing = {key.lower() for key, _ in reply.headers()} - {key.lower() for key, _ in theirs.headers()}
        if theirs.body != reply.body or missing:
            raise RuntimeError(f"{name} answers {answer} differently: lacks {missing or 'the body'}")


def _interleave(answer: str, peers: Mapping[str, Server], effort: Effort, core: int) -> dict[str, list[Run]]:
    runs: dict[str, list[Run]] = {name: [] for name in peers}
    for _ in range(effort.rounds):
        for name, peer in peers.items():
            runs[name].append(_run(answer, name, peer, CONNECTIONS, effort.seconds, core))
    return runs


def _run(answer: str, name: str, peer: Server, connections: int, seconds: int, core: int) -> Run:
    before_s = peer.cpu_s()
    run = run_wrk(peer.url + _path(answer, name), connections=connections, seconds=seconds, core=core)
    if run.refused or run.broken:
        raise RuntimeError(f"{name} failed: {run}")
    return replace(run, cpu_us=(peer.cpu_s() - before_s) / max(run.requests, 1) * 1e6)


def _rows(answer: str, size: int, runs: Mapping[str, list[Run]]) -> list[Row]:
    ours = runs["ours"]

    def ratio(mine: list[Run], peer: str) -> float:
        """The median of the ratios of the rounds, so that a disturbance affects one round only."""
        return median_of([one.rate / other.rate for one, other in zip(mine, runs[peer], strict=True)])

    def cost(runs: list[Run]) -> float:
        return median_of([run.cpu_us for run in runs])

    name = f"hot, {size / 1000:.1f} kB, {CONNECTIONS} connections"
    shown = {peer: _shown(of_peer) for peer, of_peer in runs.items()}
    return [
        Row.of_ratio(
            f"{name}, against Go", shown["ours"], shown["Go"], ratio(ours, "Go"), GO_TARGETS[answer]
        ),
        Row.of_ratio(
            f"{name}, against nginx", shown["ours"], shown["nginx"], ratio(ours, "nginx"), NGINX_TARGET
        ),
        Row(
            f"{name}, with an access log, against Go",
            shown["logging"],
            shown["Go"],
            ratio(runs["logging"], "Go"),
        ),
        *(
            Row(
                f"{name}, processor time an answer, against {peer}",
                f"{cost(ours):.1f} us",
                f"{cost(runs[peer]):.1f} us",
                cost(runs[peer]) / cost(ours),
            )
            for peer in ("Go", "nginx")
        ),
    ]


def _shown(runs: list[Run]) -> str:
    rate = median_of([run.rate for run in runs])
    p50, p99 = median_of([run.p50 for run in runs]), median_of([run.p99 for run in runs])
    # A share well below 100 % means that other programs used the core: then compare processor times.
    share = median_of([run.cpu_us * run.rate / 1e4 for run in runs])
    return f"{rate:,.0f}/s (p50 {in_ms(p50)}, p99 {in_ms(p99)}; {share:.0f} % of the core)"


def _plot(peers: Mapping[str, Server], effort: Effort, core: int) -> Plot:
    lines = {name: Line(name, []) for name in peers}
    for connections in PLOTTED:
        for name, peer in peers.items():
            run = _run("large", name, peer, connections, max(1, effort.seconds // 2), core)
            lines[name].points.append((connections, run.rate))
    title = "Known answers of 20 kB: requests a second, one core"
    return Plot("hot", title, "connections", "requests a second", [*lines.values()])
