"""Keys that series are grouped by: functions of a series, for `SeriesIndex.column`."""

from orchboard.stats import JobType, Series, is_address
from orchboard.store.rollups.group_index import PipelineModel

TesterKey = tuple[str, str]
"""The name of a tester, and an empty region; or an empty name and a region."""


def orchestrator_of(series: Series) -> str:
    """The orchestrator."""
    return series.orchestrator


def has_address(series: Series) -> bool:
    """Whether the orchestrator is named by an Ethereum address."""
    return is_address(series.orchestrator)


def region_of(series: Series) -> str:
    """The code of the region."""
    return series.region


def job_type_of(series: Series) -> JobType:
    """The job type."""
    return series.job_type


def pipeline_of(series: Series) -> str:
    """The pipeline."""
    return series.pipeline


def model_name_of(series: Series) -> str:
    """The model alone, whose name may be in several pipelines."""
    return series.model


def model_of(series: Series) -> PipelineModel:
    """The pipeline and the model."""
    return series.pipeline, series.model


def job_of(series: Series) -> tuple[JobType, str, str]:
    """The job type, the pipeline and the model."""
    return series.job_type, series.pipeline, series.model


def region_and_job_type_of(series: Series) -> tuple[str, JobType]:
    """The region and the job type."""
    return series.region, series.job_type


def tester_and_job_type_of(series: Series) -> tuple[str, JobType]:
    """The name of the tester and the job type."""
    return series.tester, series.job_type


def tester_name_of(series: Series) -> str:
    """The name of the tester; empty for results that no tester's own key signed."""
    return series.tester


def tester_of(series: Series) -> TesterKey:
    """The tester. Results that no tester's own key signed count as one tester in each region."""
    return (series.tester, "") if series.tester else ("", series.region)


def tester_and_region_of(series: Series) -> tuple[TesterKey, str]:
    """The tester, and the region that it tests from."""
    return tester_of(series), series.region
