"""`python -m bench.paired OLD NEW`: two checkouts measured in turns, so that what disturbs the machine disturbs both."""

import argparse
import asyncio
import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

from bench.bodies import write_requests
from bench.connection import Connection
from bench.dataset import Dataset, execute
from bench.paths import default_directory
from bench.questions import AI, TRANSCODING
from bench.server import Server, on_database, serving
from bench.start import first_answer_ms
from bench.wrk import run_wrk

SECTIONS = ("hot", "uncached", "posts", "memory", "start")

_CONNECTIONS = 32
_HOT = "/api/regions"
_QUESTIONS = 200
_WARMING = 5
_REQUESTS = 150_000
_DAY_S = 86400.0
_QUIET_S = 12.0
_QUIET_LIMIT_S = 300.0

Figures = dict[str, float]


def main() -> None:
    """Print a table: the median of each side, and the median and range of the rounds' ratios, NEW to OLD."""
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    parser = argparse.ArgumentParser(prog="python -m bench.paired", description=main.__doc__)
    parser.add_argument("old", type=Path, help="a checkout; its src/ is what is served")
    parser.add_argument("new", type=Path, help="another")
    parser.add_argument("sections", nargs="*", metavar="SECTION", help=f"of {', '.join(SECTIONS)}; none: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3, help="how long each side of a round sends load")
    parser.add_argument("--results", type=int, default=200_000)
    parser.add_argument("--directory", type=Path, default=default_directory())
    arguments = parser.parse_args()
    sections = arguments.sections or SECTIONS
    if unknown := set(sections) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    checkouts = {"old": arguments.old.absolute(), "new": arguments.new.absolute()}
    dataset = Dataset(arguments.directory / "paired", arguments.results, 1)
    with _source(checkouts["old"]):
        dataset.load(again=True)
    arguments.directory.mkdir(parents=True, exist_ok=True)
    with dataset.running() as url:
        for section in sections:
            measure = _MEASURES[section](url, checkouts, arguments.seconds, arguments.directory)
            with measure as rounds:
                print(_table(section, list(itertools.islice(rounds, arguments.rounds))), flush=True)


@contextmanager
def _source(checkout: Path) -> Iterator[None]:
    """Programs started meanwhile import orchboard from this checkout."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = str(checkout / "src")
    try:
        yield
    finally:
        del os.environ["PYTHONPATH"]
        if before is not None:
            os.environ["PYTHONPATH"] = before


def _in_turns(sides: Mapping[str, Callable[[], Figures]]) -> Iterator[dict[str, Figures]]:
    """Rounds for ever; each begins with the other side."""
    for number in itertools.count():
        order = list(sides) if number % 2 == 0 else list(sides)[::-1]
        yield {name: sides[name]() for name in order}


@contextmanager
def _servers(url: str, checkouts: Mapping[str, Path], *, template: bool) -> Iterator[dict[str, Server]]:
    """A server of each checkout on a database of its own.

    template -- whether that is a copy of the one at url, or empty
    """
    with ExitStack() as stack:
        servers = {}
        for name, checkout in checkouts.items():
            own = stack.enter_context(_database(url, f"paired_{name}", template=template))
            stack.enter_context(_source(checkout))
            servers[name] = stack.enter_context(serving(on_database(own)))
        for server in servers.values():
            _wait_until_quiet(server)
        yield servers


@contextmanager
def _database(url: str, name: str, *, template: bool) -> Iterator[str]:
    source = f" TEMPLATE {urlsplit(url).path.removeprefix('/')}" if template else ""
    maintenance = urlsplit(url)._replace(path="/template1").geturl()
    drop = f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"
    asyncio.run(execute(maintenance, drop, f"CREATE DATABASE {name}{source}", "CHECKPOINT"))
    try:
        yield urlsplit(url)._replace(path=f"/{name}").geturl()
    finally:
        asyncio.run(execute(maintenance, drop))


def _wait_until_quiet(server: Server) -> None:
    """Wait until its rollups are built: nothing says so for all versions, but then it has little to do."""
    deadline = time.monotonic() + _QUIET_LIMIT_S
    while time.monotonic() < deadline:
        before = _cpu_s(server)
        time.sleep(_QUIET_S)
        if _cpu_s(server) - before < 0.02 * _QUIET_S:
            return


def _cpu_s(server: Server) -> float:
    """Its processor time, to the nanosecond."""
    tasks = Path(f"/proc/{server.pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


@contextmanager
def _hot(
    url: str, checkouts: Mapping[str, Path], seconds: int, _: Path
) -> Iterator[Iterator[dict[str, Figures]]]:
    with _servers(url, checkouts, template=True) as servers:
        yield _in_turns({name: partial(_load, server, seconds) for name, server in servers.items()})


@contextmanager
def _posts(
    url: str, checkouts: Mapping[str, Path], seconds: int, directory: Path
) -> Iterator[Iterator[dict[str, Figures]]]:
    requests = directory / "paired-requests"
    write_requests(requests, _REQUESTS)
    starts = itertools.count(0, 10_000)
    with _servers(url, checkouts, template=False) as servers:
        for server in servers.values():
            _load(server, seconds * 2, (requests, next(starts)))
        yield _in_turns(
            {name: partial(_post, server, seconds, requests, starts) for name, server in servers.items()}
        )
    requests.unlink()


def _post(server: Server, seconds: int, requests: Path, starts: Iterator[int]) -> Figures:
    return _load(server, seconds, (requests, next(starts) % _REQUESTS))


def _load(server: Server, seconds: int, requests: tuple[Path, int] | None = None) -> Figures:
    before_s = _cpu_s(server)
    url = server.url if requests else server.url + _HOT
    run = run_wrk(url, connections=_CONNECTIONS, seconds=seconds, requests=requests)
    if run.refused or run.broken or not run.requests:
        raise RuntimeError(f"requests failed: {run}")
    cpu_us = (_cpu_s(server) - before_s) / run.requests * 1e6
    return {"requests a second": run.rate, "processor time a request, us": cpu_us}


@contextmanager
def _uncached(
    url: str, checkouts: Mapping[str, Path], _: int, __: Path
) -> Iterator[Iterator[dict[str, Figures]]]:
    since = _since()
    with _servers(url, checkouts, template=True) as servers:
        yield (_ask(servers, since) for _ in itertools.count())


def _since() -> Iterator[float]:
    return (time.time() - _DAY_S + number * 1e-4 for number in itertools.count())


def _ask(servers: Mapping[str, Server], since: Iterator[float]) -> dict[str, Figures]:
    """Ask each server in turn, one question at a time."""
    figures: dict[str, Figures] = {name: {} for name in servers}
    with ExitStack() as stack:
        connections = {name: stack.enter_context(Connection(server.port)) for name, server in servers.items()}
        for kind, work in (("AI", AI), ("transcoding", TRANSCODING)):
            ms: dict[str, list[float]] = {name: [] for name in servers}
            for number in range(-_WARMING, _QUESTIONS):
                if number == 0:
                    before_s = {name: _cpu_s(server) for name, server in servers.items()}
                order = list(servers) if number % 2 == 0 else list(servers)[::-1]
                for name in order:
                    ms[name].append(connections[name].get(work.url(next(since))).ms)
            for name, server in servers.items():
                figures[name][f"{kind}, median ms"] = median(ms[name])
                cpu_us = (_cpu_s(server) - before_s[name]) / _QUESTIONS * 1e6
                figures[name][f"{kind}, processor time, us"] = cpu_us
    return figures


@contextmanager
def _memory(
    url: str, checkouts: Mapping[str, Path], seconds: int, _: Path
) -> Iterator[Iterator[dict[str, Figures]]]:
    with ExitStack() as stack:
        environments = {}
        for name in checkouts:
            own = stack.enter_context(_database(url, f"paired_{name}", template=True))
            environments[name] = on_database(own)
        yield _in_turns(
            {name: partial(_resident, checkouts[name], environments[name], seconds) for name in checkouts}
        )


def _resident(checkout: Path, environment: Mapping[str, str], seconds: int) -> Figures:
    since = _since()
    with serving({**environment, "PYTHONPATH": str(checkout / "src")}) as server:
        with Connection(server.port) as connection:
            connection.get(_HOT)
        time.sleep(1)
        started = server.resident_mb()
        _load(server, seconds)
        _ask({"": server}, since)
        time.sleep(6)  # it may give memory back every 5 s
        return {"MB, started": started, "MB, after hot and uncached": server.resident_mb()}


@contextmanager
def _start(
    url: str, checkouts: Mapping[str, Path], _: int, __: Path
) -> Iterator[Iterator[dict[str, Figures]]]:
    with (
        _database(url, "paired_old", template=True) as old,
        _database(url, "paired_new", template=True) as new,
    ):
        urls = {"old": old, "new": new}

        def measure(name: str) -> Figures:
            environment = {**on_database(urls[name]), "PYTHONPATH": str(checkouts[name] / "src")}
            with serving(environment) as server, Connection(server.port) as connection:
                connection.get(_HOT)
                cpu_ms = _cpu_s(server) * 1e3
            return {
                "ms to the first 200": median(first_answer_ms(environment, _HOT) for _ in range(3)),
                "processor time, ms": cpu_ms,
            }

        yield _in_turns({name: partial(measure, name) for name in checkouts})


_MEASURES = {"hot": _hot, "uncached": _uncached, "posts": _posts, "memory": _memory, "start": _start}


def _table(section: str, rounds: Sequence[Mapping[str, Figures]]) -> str:
    lines = []
    for figure in rounds[0]["old"]:
        ratios = [one["new"][figure] / one["old"][figure] for one in rounds]
        old, new = (median(one[side][figure] for one in rounds) for side in ("old", "new"))
        lines.append(
            f"{section + ', ' + figure:44} old {old:10,.1f}  new {new:10,.1f}  "
            f"new/old {median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
