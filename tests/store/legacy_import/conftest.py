"""Small batches for tests of the backfill."""

import pytest


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchboard.limits.MAX_MOVED_ROWS", 200)
    monkeypatch.setattr("orchboard.limits.SHARED_READ_S", -1)
