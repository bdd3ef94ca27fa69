"""The limits, and the sums that must hold between them."""

import json
import re
from pathlib import Path

import asyncpg
import pytest

from orchboard import limits
from orchboard.config import SETTINGS, read_settings
from orchboard.store.rollups import live_tail
from orchboard.store.sql_files import sql
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


def test_a_shutdown_takes_less_than_ten_seconds() -> None:
    """A background task is cancelled twice: its supervisor waits for it first."""
    parts = (
        limits.SHUTDOWN_REQUESTS_S,
        limits.SHUTDOWN_REFUSALS_S,
        2 * limits.TASK_CANCEL_S,
        limits.SHUTDOWN_FLUSH_S,
        limits.SHUTDOWN_CLOSE_S,
    )
    assert sum(parts) < SHUTDOWN_S < limits.WORKER_STOP_S


def test_connections_drain_while_requests_finish() -> None:
    assert limits.DRAIN_S < limits.SHUTDOWN_REQUESTS_S


def test_a_tester_has_its_answer_before_it_gives_up() -> None:
    assert limits.REGION_LOOKUP_S + max(limits.SPOOL_AFTER_S, limits.INSERT_S) < TESTER_TIMEOUT_S
    assert limits.WRITE_RETRY_S < TESTER_TIMEOUT_S
    assert limits.SERVERLESS_POST_S < TESTER_TIMEOUT_S


@pytest.mark.parametrize(
    "part_s",
    [
        limits.READ_RETRY_S,
        limits.WRITE_RETRY_S,
        limits.STARTUP_S,
        limits.ADMISSION_S,
        limits.HEALTH_TIMEOUT_S,
        limits.INSERT_S,
        limits.PROBE_AFTER_S + limits.PROBE_S,
    ],
)
def test_what_a_request_waits_for_is_within_its_database_timeout(part_s: float) -> None:
    assert part_s < DEFAULTS.db_timeout_s


def test_a_query_waits_longer_for_its_turn_than_reads_wait_for_a_silent_primary() -> None:
    assert limits.PROBE_AFTER_S + limits.HOST_CONNECT_S < limits.ADMISSION_S


def test_a_foreign_commit_is_seen_within_a_second() -> None:
    assert limits.EXTERNAL_CHECK_INTERVAL_S < limits.EXTERNAL_STALENESS_S
    assert limits.EXTERNAL_STALENESS_S + limits.SHARED_READ_S < 1.0


def test_invalidations_outlive_what_relies_on_them() -> None:
    assert max(limits.TAIL_IDLE_S, limits.RAW_CACHE_IDLE_S) <= limits.APPLIED_INVALIDATIONS_S / 2


def test_inserts_that_are_not_late_are_read_again() -> None:
    assert limits.LATE_INSERT_S * 1e6 < live_tail._LATE
    assert limits.LATE_INSERT_S < limits.ROLLUP_SETTLE_S


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


def test_background_work_is_ended_by_postgres_then_its_watchdog_then_its_supervisor() -> None:
    [statement_s] = re.findall(r"'statement_timeout', '(\d+)s'", sql("background_limits"))
    assert float(statement_s) <= limits.BACKGROUND_STEP_S < limits.MAINTENANCE_STALL_S


def test_a_blocked_worker_is_replaced_before_systemd_restarts_the_server() -> None:
    unit = (ROOT / "contrib/systemd/orchboard.service").read_text()
    seconds = {name: int(value) for name, value in re.findall(r"^(\w+Sec)=(\d+)$", unit, re.MULTILINE)}
    assert seconds["WatchdogSec"] > limits.WORKER_SILENCE_S
    assert seconds["TimeoutStopSec"] > limits.WORKER_STOP_S


def test_a_maintenance_call_is_over_before_vercel_ends_it() -> None:
    [function] = json.loads((ROOT / "vercel.json").read_text())["functions"].values()
    assert function["maxDuration"] > 2 * limits.MAINTENANCE_CALL_S


def test_a_path_that_is_cached_may_be_asked_for() -> None:
    assert (
        limits.MAX_CACHED_TARGET_BYTES
        <= limits.MAX_FAST_PATH_TARGET_BYTES
        <= limits.MAX_TARGET_BYTES
        <= limits.MAX_HEAD_BYTES
    )
    assert limits.MAX_CACHED_REQUEST_BYTES <= limits.MAX_TEMPLATE_HEAD_BYTES <= limits.MAX_HEAD_BYTES


def test_the_largest_body_can_be_stored() -> None:
    assert DEFAULTS.max_body_bytes <= min(limits.MAX_PAYLOAD_BYTES, limits.MAX_WAITING_BYTES)
    assert max(limits.MAX_INSERT_BYTES, limits.MAX_REPLAY_BYTES) <= limits.MAX_WAITING_BYTES


def test_one_client_can_not_take_every_turn() -> None:
    assert limits.MAX_WAITING_QUERIES_PER_CLIENT <= limits.MAX_WAITING_QUERIES / 2
