"""The limits, and the sums that must hold between them."""

import re
from pathlib import Path

import asyncpg
import pytest

from orchboard import limits
from orchboard.config import SETTINGS, read_settings
from tests.support.database import run
from tests.support.limits_document import Limit, limits_markdown, read_limits

ROOT = Path(__file__).parents[1]
DEFAULTS = read_settings({})

# The job testers' HTTP client gives up then, and sends no result twice.
TESTER_TIMEOUT_S = 8.0

# docs/operations.md promises it of SIGTERM.
SHUTDOWN_S = 10.0


@pytest.mark.parametrize("limit", read_limits(), ids=lambda limit: limit.name)
def test_a_limit_has_a_reason_and_is_used(limit: Limit) -> None:
    assert limit.why.endswith(".")
    sources = (path for path in (ROOT / "src").rglob("*.py") if path.name != "limits.py")
    assert any(f"limits.{limit.name}" in path.read_text() for path in sources)


def test_the_document_is_up_to_date() -> None:
    assert (ROOT / "docs/limits.md").read_text() == limits_markdown(), "stale: run `make docs`"


def test_no_limit_is_a_setting_too() -> None:
    assert not {setting.name for setting in SETTINGS} & {limit.name for limit in read_limits()}


def test_a_lock_is_given_up_before_postgres_looks_for_deadlocks(server_url: str) -> None:
    """Else a reader that waits behind it could be the victim."""

    async def deadlock_timeout_s() -> float:
        connection = await asyncpg.connect(server_url)
        try:
            ms = await connection.fetchval(
                "SELECT setting::int FROM pg_settings WHERE name = 'deadlock_timeout'"
            )
            return float(ms / 1000)
        finally:
            await connection.close()

    assert max(limits.MIGRATION_LOCK_S, limits.TABLE_MOVE_LOCK_S) < run(deadlock_timeout_s())


def test_a_blocked_worker_is_replaced_before_systemd_restarts_the_server() -> None:
    unit = (ROOT / "contrib/systemd/orchboard.service").read_text()
    seconds = {name: int(value) for name, value in re.findall(r"^(\w+Sec)=(\d+)$", unit, re.MULTILINE)}
    assert seconds["WatchdogSec"] > limits.WORKER_SILENCE_S
    assert seconds["TimeoutStopSec"] > limits.WORKER_STOP_S
