"""Standbys: two servers read from standbys that lag, freeze, die and are promoted. Each answer has the asker's own result, and
none is a second behind another server."""

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from chaos.fresh_answers import LATE_S, Answers, asking
from chaos.http_client import ask_once, get
from chaos.link import Link
from chaos.postgres import Postgres, stop_at_exit
from chaos.server_process import ServerProcess, running
from chaos.verdict import Scale, Verdict

# (askers of each server, seconds of each disturbance, answers)
_SIZES = {Scale.SMALL: (1, 1.0, 700), Scale.FULL: (4, 10.0, 1_000_000)}

_LIMIT_S = {Scale.SMALL: 110.0, Scale.FULL: 3000.0}


class _Cluster:
    """A primary, a standby that reaches it over a link, and a standby of the standby."""

    def __init__(self, directory: Path) -> None:
        self.primary = Postgres(directory / "primary")
        self.standby = Postgres(directory / "standby", password=self.primary.password)
        self.cascaded = Postgres(directory / "cascaded", password=self.primary.password)

    async def start(self, link: Link) -> None:
        await self.primary.execute("CREATE DATABASE board")
        # In a thread: this one forwards the bytes of the link.
        await asyncio.to_thread(self.standby.make_standby, self.primary, port=link.port)
        self.standby.start()
        await self.standby.wait_until_ready()
        self.cascaded.make_standby(self.standby)
        self.cascaded.start()
        await self.cascaded.wait_until_ready()

    async def wait_until_replayed(self) -> None:
        """Wait until the first standby has replayed what the primary has."""
        lsn = await self.primary.execute("SELECT pg_current_wal_flush_lsn()::text")
        while not await self.standby.execute(f"SELECT pg_last_wal_replay_lsn() >= '{lsn}'::pg_lsn"):  # noqa: ASYNC110 - waits for another process
            await asyncio.sleep(0.01)


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Verdicts on own results, on answers of the other server, and on who answered."""
    askers, each_s, number = _SIZES[scale]
    cluster = _Cluster(directory)
    with stop_at_exit(cluster.cascaded, cluster.standby, cluster.primary):
        cluster.primary.make()
        cluster.primary.start()
        await cluster.primary.wait_until_ready()
        async with Link(cluster.primary.port) as link, asyncio.timeout(_LIMIT_S[scale]):
            await cluster.start(link)
            answers = {name: Answers() for name in (*_disturbances(cluster, link), "the promotion")}
            computed = await _run(cluster, link, directory, answers, (askers, each_s, number))
    return _verdicts(answers, askers, computed)


async def _run(
    cluster: _Cluster, link: Link, directory: Path, answers: dict[str, Answers], sizes: tuple[int, float, int]
) -> Counter[str]:
    """Run all phases; the number of computed answers by server."""
    askers, each_s, number = sizes
    standbys = [cluster.standby, cluster.cascaded]
    variables = {
        "POSTGRES": cluster.primary.url(
            "board", other=cluster.standby, options="?target_session_attrs=read-write"
        ),
        # A result in the spool is acknowledged and in no answer.
        "SPOOL_MAX_MB": "0",
        "LOG_LEVEL": "info",
    }
    urls = [first.url("board", other=second) for first, second in (standbys, standbys[::-1])]
    with (
        running(directory / "one", listener=None, **variables, POSTGRES_READ=urls[0]) as one,
        running(directory / "two", listener=None, **variables, POSTGRES_READ=urls[1]) as two,
    ):
        for program in (one, two):
            await program.wait_until_healthy()
            await _wait_until_read(program)
        gate = asyncio.Event()
        gate.set()
        every = number // len(answers)
        ports = [one.port, two.port]
        for at, (name, disturb) in enumerate(_disturbances(cluster, link).items()):
            async with asking(ports, answers[name], gate, askers=askers, first=1000 * at):
                await _ask_for(answers[name], every // 4)
                await disturb(each_s)
                await _ask_for(answers[name], every)
        name = "the promotion"
        async with asking(ports, answers[name], gate, askers=askers, first=1000 * len(answers)):
            await _ask_for(answers[name], every // 2)
            # Nothing is acknowledged that the standby may lack: it is not synchronous.
            gate.clear()
            await asyncio.sleep(1)
            await cluster.wait_until_replayed()
            cluster.primary.kill()
            await asyncio.to_thread(cluster.standby.promote)
            gate.set()
            await _ask_for(answers[name], every)
        return sum([await _computed(program) for program in (one, two)], Counter())


def _disturbances(cluster: _Cluster, link: Link) -> dict[str, Callable[[float], Awaitable[None]]]:
    async def nothing(seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def pause(seconds: float) -> None:
        await cluster.standby.execute("SELECT pg_wal_replay_pause()")
        await asyncio.sleep(seconds)
        await cluster.standby.execute("SELECT pg_wal_replay_resume()")

    async def cut(seconds: float) -> None:
        link.cut()
        await asyncio.sleep(seconds)
        link.heal()

    async def freeze(seconds: float) -> None:
        cluster.cascaded.freeze()
        await asyncio.sleep(seconds)
        cluster.cascaded.thaw()

    async def kill(seconds: float) -> None:
        cluster.cascaded.kill()
        await asyncio.sleep(seconds)
        cluster.cascaded.start()
        await cluster.cascaded.wait_until_ready()

    async def restart(seconds: float) -> None:
        cluster.standby.end()
        cluster.standby.start()
        await cluster.standby.wait_until_ready()
        await asyncio.sleep(seconds)

    return {
        "no disturbance": nothing,
        "replay paused": pause,
        "standby cut off from the primary": cut,
        "standby frozen": freeze,
        "standby killed": kill,
        "standby restarted": restart,
    }


async def _ask_for(answers: Answers, number: int) -> None:
    """Wait until so many answers have come."""
    while answers.number < number:  # noqa: ASYNC110 - other tasks count
        await asyncio.sleep(0.05)


async def _wait_until_read(program: ServerProcess) -> None:
    """Wait until a standby answers questions."""
    while b"\norchboard_standby_in_use 1" not in (await ask_once(program.port, get("/metrics"))).body:  # noqa: ASYNC110 - asks another process
        await asyncio.sleep(0.05)


async def _computed(program: ServerProcess) -> Counter[str]:
    metrics = (await ask_once(program.port, get("/metrics"))).body.decode()
    found = re.findall(r'^orchboard_computed_answers_total{server="(\w+)"} ([\d.]+)', metrics, re.MULTILINE)
    return Counter({server: int(float(number)) for server, number in found})


def _verdicts(answers: dict[str, Answers], askers: int, computed: Counter[str]) -> list[Verdict]:
    total = Answers()
    for each in answers.values():
        for name in ("own", "missed", "elsewhere", "late", "marked", "posts", "unsure"):
            setattr(total, name, getattr(total, name) + getattr(each, name))
        total.oldest_s = max(total.oldest_s, each.oldest_s)
        total.others += each.others
        total.examples += each.examples
    setup = f"{askers} posting and {askers} other clients of each of two servers, a standby and one behind it; {', '.join(answers)}"
    shown = "".join(f"; {example}" for example in total.examples[:5])
    return [
        Verdict(
            f"own results in answers of standbys: {setup}",
            f"{total.own:,} answers after {total.posts:,} posts ({total.unsure:,} not acknowledged), {total.missed} without the "
            f"asker's acknowledged result{shown}",
            "0",
            total.own > 0 and not total.missed,
        ),
        Verdict(
            "results of the other server",
            f"{total.elsewhere:,} answers, {total.late} without a result acknowledged {LATE_S:g} s before; the oldest that an "
            f"answer lacked was acknowledged {total.oldest_s:.2f} s before",
            "0",
            total.elsewhere > 0 and not total.late,
        ),
        Verdict(
            "answers during the disturbances",
            f"{total.number:,} judged, {total.marked:,} marked as stale, others {dict(total.others) or 0}; "
            + ", ".join(f"{name} {each.number:,}" for name, each in answers.items())
            + f"; computed from a standby {computed['standby']:,}, from the primary {computed['primary']:,}",
            "all answered 200, some from a standby",
            total.number > 0 and not total.others and computed["standby"] > 0,
        ),
    ]
