"""What Hypothesis draws where each example asks a server: the same each time, however long one takes."""

from typing import Any

from hypothesis import HealthCheck, settings


def fixed_examples(examples: int, **others: Any) -> settings:
    """So many examples, always the same."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        **others,
    )
