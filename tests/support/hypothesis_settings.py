"""Hypothesis settings for examples that query a server: reproducible, without a deadline."""

from typing import Any

from hypothesis import HealthCheck, settings


def fixed_examples(examples: int, **others: Any) -> settings:
    """Settings for a fixed number of reproducible examples."""
    return settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
        **others,
    )
