"""Wrong and stepped clocks: an acknowledged result is in every answer, whatever the clocks show."""

import asyncio
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import msgspec

from chaos.clock import WallClock
from chaos.http_client import Caller, get, post
from chaos.postgres import Postgres, stop_at_exit
from chaos.server_process import SECRET, ServerProcess, running
from chaos.verdict import Scale, Verdict
from orchboard.signing import sign

# Offsets of the clock from the true time in seconds, and results posted at each.
_STEPS = {
    Scale.SMALL: ([-20.0, -5400.0], 4),
    Scale.FULL: ([-0.1, -0.3, -20.0, 0.0, 20.0, 5400.0, 0.0, -5400.0, 0.0, -86_400.0, 0.0], 100),
}

# Rollups are built every ten seconds. After twice that they are built, unless a step of the clock prevents it.
_UPKEEP_S = {Scale.SMALL: 12.0, Scale.FULL: 25.0}

_LIMIT_S = 900.0

_QUESTIONS = (
    "/api/aggregated_stats?orchestrator={orchestrator}",
    "/api/aggregated_stats?orchestrator={orchestrator}&since=1",
    "/api/raw_stats?orchestrator={orchestrator}",
    "/api/raw_stats?orchestrator={orchestrator}&since=1",
)


class Poster:
    """Posts results, each with a new orchestrator, and queries them at once."""

    def __init__(self) -> None:
        self.posted: list[str] = []
        self.missing: list[str] = []
        self.slowest_s = 0.0

    async def post(self, program: ServerProcess, number: int) -> None:
        """Post results, and query each in all ways as soon as it is acknowledged."""
        async with Caller(program.port) as caller:
            for _ in range(number):
                orchestrator = f"0x{len(self.posted) + 1:040x}"
                result = {
                    "region": "FRA",
                    "orchestrator": orchestrator,
                    "success_rate": 1,
                    "round_trip_time": 1,
                }
                body = msgspec.json.encode(result)
                reply = await caller.ask(post(body, sign(body, SECRET)))
                assert (reply.status, reply.body) == (200, b"ok"), reply
                self.posted.append(orchestrator)
                for question in _QUESTIONS:
                    await self._ask(caller, question.format(orchestrator=orchestrator))

    async def _ask(self, caller: Caller, question: str) -> None:
        asked_at = time.monotonic()
        reply = await caller.ask(get(question))
        self.slowest_s = max(self.slowest_s, time.monotonic() - asked_at)
        assert reply.status == 200, reply
        if b"FRA" not in reply.body:
            self.missing.append(question)

    async def compare(self, program: ServerProcess) -> int:
        """The number of posted results that are in no score."""
        async with Caller(program.port) as caller:
            scores = msgspec.json.decode((await caller.ask(get("/api/aggregated_stats?since=1"))).body)
        return len(set(self.posted) - scores.keys())


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Verdicts on the server's clock and the database's clock."""
    verdicts = []
    for whose in ("server", "database"):
        place = directory / whose
        place.mkdir()
        place.chmod(0o755)
        clock = WallClock(place / "clock")
        is_databases = whose == "database"
        postgres = Postgres(place / "postgres", variables=clock.variables if is_databases else None)
        with stop_at_exit(postgres):
            postgres.make()
            postgres.start()
            await postgres.wait_until_ready()
            await postgres.execute("CREATE DATABASE board")
            with _serving(place, postgres.url("board"), None if is_databases else clock) as program:
                async with asyncio.timeout(_LIMIT_S):
                    verdicts.append(await _prove(scale, clock, program, whose))
    return verdicts


def _serving(place: Path, url: str, clock: WallClock | None) -> AbstractContextManager[ServerProcess]:
    variables: dict[str, Any] = {"POSTGRES": url, **(clock.variables if clock else {})}
    return running(place / "server", **variables)


async def _prove(scale: Scale, clock: WallClock, program: ServerProcess, whose: str) -> Verdict:
    await program.wait_until_healthy()
    poster, lost = Poster(), 0
    steps, number = _STEPS[scale]
    for ahead_s in steps:
        clock.set(ahead_s)
        await poster.post(program, number)
        await asyncio.sleep(_UPKEEP_S[scale])
        await poster.post(program, number)
        lost = max(lost, await poster.compare(program))
    missing = len(poster.missing)
    return Verdict(
        f"clocks: the {whose}'s clock set to {', '.join(f'{step:+g}' for step in steps)} s",
        f"{len(poster.posted):,} results; {missing} of {len(poster.posted) * len(_QUESTIONS):,} queries right after the "
        f"acknowledgement lacked the result, the slowest {poster.slowest_s:.2f} s; at most {lost} missing from scores later",
        "0 and 0",
        not missing and not lost,
    )
