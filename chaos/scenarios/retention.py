"""`orchboard prune` under load, killed again and again: long answers stay what they were, and nothing newer is lost."""

import asyncio
import math
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncpg
import msgspec

from chaos.historical_results import fill, wait_until_built
from chaos.http_client import Caller, get
from chaos.ledger import Ledger
from chaos.post_load import posting
from chaos.postgres import one_postgres
from chaos.server_process import ServerProcess, running
from chaos.verdict import Scale, Verdict

# Results, the days over which they are spread, the days that are deleted, and how often the command is killed.
_SIZES = {Scale.SMALL: (3_000, 60, 45, 3), Scale.FULL: (300_000, 365, 300, 12)}

_CONNECTIONS, _PAUSE_S = 4, 0.1
_LIMIT_S = 3000.0
_RETRIES = 30

# Shorter ones come and go every minute.
_DETAILS = "SELECT count(*) FROM rollup_buckets WHERE granularity >= 3 AND details_revision IS DISTINCT FROM revision"
_LEFT = "SELECT count(*) FROM events WHERE event_time < (SELECT kept_since FROM result_retention)"


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Verdicts on the answers of long windows, and on the results that are kept."""
    results, days, deleted_days, kills = _SIZES[scale]
    async with one_postgres(directory) as postgres:
        url = postgres.url("board")
        with running(directory / "server", POSTGRES=url) as program:
            async with asyncio.timeout(_LIMIT_S):
                await program.wait_until_healthy()
                connection = await asyncpg.connect(url)
                try:
                    await fill(connection, results, float(days))
                    await wait_until_built(connection, spans=days)
                    while await connection.fetchval(_DETAILS):  # noqa: ASYNC110 - waits for another process
                        await asyncio.sleep(0.2)
                    before = time.strftime(
                        "%Y-%m-%d", time.gmtime(time.time() - (days - deleted_days) * 86400)
                    )
                    ledger = Ledger(1)
                    watch = _Watch(program, await _ask(program, _targets()))
                    async with posting(program.port, ledger, _CONNECTIONS, pause_s=_PAUSE_S):
                        watching = asyncio.create_task(watch.run())
                        number = await connection.fetchval(
                            "SELECT count(*) FROM events WHERE event_time < $1::text::date", before
                        )
                        runs = await _prune(url, directory, before, kills)
                        left = await connection.fetchval(_LEFT)
                        await asyncio.sleep(15)  # two rounds of the server's upkeep
                        watching.cancel()
                        with suppress(asyncio.CancelledError):
                            await watching
                    findings = await ledger.compare(program.port)
                finally:
                    await connection.close()
    return [
        Verdict(
            f"history is kept: {number:,} of {results:,} results deleted, {deleted_days} of {days} days, by a command that was "
            f"killed {kills} times",
            f"{watch.different} of {watch.asked:,} answers differ, {watch.failed} failed; {left} results left of that time after "
            f"{runs} runs",
            "0 differ by more than 1e-9, 0 fail, 0 left",
            (watch.different, watch.failed, left) == (0, 0, 0) and watch.asked > 0,
        ),
        Verdict("results posted meanwhile are stored", str(findings), "lost 0, twice 0", findings.is_clean),
    ]


def _targets() -> tuple[str, ...]:
    """Windows that end an hour ago, so that posts do not change their answers; at six hours where results get deleted."""
    until = int(time.time()) - 3600
    return (
        f"/api/aggregated_stats?since=1&until={until}",
        f"/api/pipelines?since=1&until={until}",
        f"/api/leaderboard?since=1&until={until}",
        f"/api/history?since=1&until={until}&bucket=30d",
        f"/api/errors?since=1&until={until}",
    )


async def _ask(program: ServerProcess, targets: tuple[str, ...]) -> dict[str, Any]:
    async with Caller(program.port) as caller:
        return {target: await _answer(caller, target) for target in targets}


async def _answer(caller: Caller, target: str) -> Any:
    reply = await caller.ask(get(target))
    assert reply.status == 200, (target, reply)
    document = msgspec.json.decode(reply.body)
    if isinstance(document, dict):
        for name in ("generated_at", "window"):
            document.pop(name, None)
        for line in document.get("lines", []):
            line["points"][0]["since"] = None  # of the first result, or of its rollup
    return document


class _Watch:
    """Asks again and again, and compares with the first answers."""

    def __init__(self, program: ServerProcess, expected: dict[str, Any]) -> None:
        self._program = program
        self._expected = expected
        self.asked = self.different = self.failed = 0

    async def run(self) -> None:
        """Ask until cancelled."""
        while True:
            for target, expected in self._expected.items():
                try:
                    found = (await _ask(self._program, (target,)))[target]
                except Exception:  # whatever it is, it is no answer
                    self.failed += 1
                    continue
                self.asked += 1
                self.different += not _are_close(found, expected)
            await asyncio.sleep(0.2)


def _are_close(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_are_close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_are_close, one, other))
    if isinstance(one, float) and isinstance(other, float | int):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12)
    return bool(one == other)


async def _prune(url: str, directory: Path, before: str, kills: int) -> int:
    """Run the command until it ends by itself, after killing it some times; the number of runs."""
    draw, runs = random.Random(kills), 0
    environment = {"PATH": os.environ["PATH"], "HOME": str(directory), "POSTGRES": url, "LOG_LEVEL": "error"}
    while True:
        runs += 1
        with (directory / "prune.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "orchboard", "prune", "--before", before, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        if runs > kills:
            status = await process.wait()
            if status == 0:
                return runs
            assert runs < kills + _RETRIES, (directory / "prune.log").read_text()[-2000:]
            await asyncio.sleep(3)  # the server is building rollups, which the command says
            continue
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), draw.uniform(1, 12 + 3 * runs))
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
            await process.wait()
