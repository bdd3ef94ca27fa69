"""Keys that series are grouped by, for `SeriesIndex.column`. Each depends on the orchestrator, or on all but the orchestrator, so that it
is computed once for each of these, not once for each series.
"""

from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from orchboard.stats import JobType, Series, is_address
from orchboard.store.rollups.group_index import PipelineModel

K = TypeVar("K")

TesterKey = tuple[str, str]
"""The name of a tester, and an empty region; or an empty name and a region."""


class OrchestratorKey(Generic[K]):
    """A key of series that depends on the orchestrator only: a function of it."""

    def __init__(self, read: Callable[[str], K]) -> None:
        self.read = read


class KindKey(Generic[K]):
    """A key of series that does not depend on the orchestrator: a function of a series, whose orchestrator it does not read."""

    def __init__(self, read: Callable[[Series], K]) -> None:
        self.read = read


SeriesKey: TypeAlias = OrchestratorKey[K] | KindKey[K]


@OrchestratorKey
def orchestrator_of(orchestrator: str) -> str:
    """The orchestrator."""
    return orchestrator


@OrchestratorKey
def has_address(orchestrator: str) -> bool:
    """Whether the orchestrator is named by an Ethereum address."""
    return is_address(orchestrator)


@KindKey
def region_of(series: Series) -> str:
    """The code of the region."""
    return series.region


@KindKey
def job_type_of(series: Series) -> JobType:
    """The job type."""
    return series.job_type


@KindKey
def pipeline_of(series: Series) -> str:
    """The pipeline."""
    return series.pipeline


@KindKey
def model_name_of(series: Series) -> str:
    """The model alone, whose name may be in several pipelines."""
    return series.model


@KindKey
def model_of(series: Series) -> PipelineModel:
    """The pipeline and the model."""
    return series.pipeline, series.model


@KindKey
def job_of(series: Series) -> tuple[JobType, str, str]:
    """The job type, the pipeline and the model."""
    return series.job_type, series.pipeline, series.model


@KindKey
def region_and_job_type_of(series: Series) -> tuple[str, JobType]:
    """The region and the job type."""
    return series.region, series.job_type


@KindKey
def tester_and_job_type_of(series: Series) -> tuple[str, JobType]:
    """The name of the tester and the job type."""
    return series.tester, series.job_type


@KindKey
def tester_name_of(series: Series) -> str:
    """The name of the tester; empty for results that no tester's own key signed."""
    return series.tester


@KindKey
def tester_of(series: Series) -> TesterKey:
    """The tester. Results that no tester's own key signed count as one tester in each region."""
    return _tester(series)


@KindKey
def tester_and_region_of(series: Series) -> tuple[TesterKey, str]:
    """The tester, and the region that it tests from."""
    return _tester(series), series.region


def _tester(series: Series) -> TesterKey:
    return (series.tester, "") if series.tester else ("", series.region)
