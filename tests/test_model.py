"""Every endpoint says what a model of it in plain Python says, whatever happened before."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import Phase
from hypothesis.stateful import run_state_machine_as_test

from tests.support.database import TEMPLATE
from tests.support.database import new_database as _new_database
from tests.support.hypothesis_settings import fixed_examples
from tests.support.state_machine import LeaderboardMachine

# Without shrinking: it takes longer than a test may, so that a failure would be reported as a hang.
SHORT = fixed_examples(10, stateful_step_count=30, phases=[Phase.generate])


@pytest.fixture
def _checks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """External writes are detected in a tenth of the time; test_freshness asserts the time itself."""
    monkeypatch.setattr("orchboard.limits.EXTERNAL_STALENESS_S", 0.09)
    monkeypatch.setattr("orchboard.limits.EXTERNAL_CHECK_INTERVAL_S", 0.05)
    monkeypatch.setattr("orchboard.limits.RAW_COUNT_INTERVAL_S", 0.05)


@pytest.mark.timeout(600)  # a minute on a machine of its own
@pytest.mark.usefixtures("_checks_often")
def test_the_server_answers_as_its_model_does(server_url: str) -> None:
    class OnClones(LeaderboardMachine):
        @staticmethod
        @contextmanager
        def database() -> Iterator[str]:
            yield from _new_database(server_url, f'TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY')

    run_state_machine_as_test(OnClones, settings=SHORT)
