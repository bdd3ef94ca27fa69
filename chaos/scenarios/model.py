"""Random sequences of operations: every answer equals that of tests/support/leaderboard_model.py."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from chaos.verdict import Scale, Verdict
from orchboard.store.embedded.server import EmbeddedPostgres
from tests.support.database import TEMPLATE, make_template, new_database, run
from tests.support.state_machine import LeaderboardMachine

LIVES = {Scale.SMALL: 5, Scale.FULL: 100}
STEPS = {Scale.SMALL: 20, Scale.FULL: 60}


async def prove(scale: Scale, directory: Path) -> list[Verdict]:
    """Run random sequences, different ones each time. Hypothesis shortens a sequence with a wrong answer."""
    return [_live(scale, directory)]


def _live(scale: Scale, directory: Path) -> Verdict:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    directory.chmod(0o755)
    postgres = EmbeddedPostgres.start(directory / "data", watch=False)
    counted = {"steps": 0, "answers": 0}

    class Counted(LeaderboardMachine):
        @staticmethod
        @contextmanager
        def database() -> Iterator[str]:
            yield from new_database(postgres.url, f'TEMPLATE "{TEMPLATE}" STRATEGY FILE_COPY')

        def ask(self, name: str, **asked: object) -> None:
            counted["answers"] += 1
            super().ask(name, **asked)

        def teardown(self) -> None:
            counted["steps"] += self.steps
            super().teardown()

    profile = settings(
        max_examples=LIVES[scale],
        stateful_step_count=STEPS[scale],
        deadline=None,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    found = ""
    try:
        run(make_template(postgres.url))
        run_state_machine_as_test(Counted, settings=profile)
    except AssertionError as error:
        found = "; ".join([str(error), *getattr(error, "__notes__", [])])
    finally:
        postgres.stop()
    figure = f"{counted['answers']} answers compared after {counted['steps']} steps"
    if found:
        figure += f": {found}"
    return Verdict("every answer equals the model's", figure, "0 differences", not found)
