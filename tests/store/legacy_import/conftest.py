"""Small batches for tests of the backfill."""

import pytest


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchboard.limits.MAX_MOVED_ROWS", 200)
    monkeypatch.setattr("orchboard.store.rollups.live_tail.SHARED_READ_S", -1)
