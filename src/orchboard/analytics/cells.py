"""Cells: the results of one orchestrator and job type, by region, pipeline and model. Scores are weighted means of cells."""

import numpy as np
from msgspec import Struct

from orchboard.analytics.estimates import GroupStatistics
from orchboard.analytics.grouping import group_sums
from orchboard.scoring import Doubles, Scores, score_ai, score_transcoding
from orchboard.stats import JobType
from orchboard.store.details.details import Details
from orchboard.store.details.sums import SeriesSums
from orchboard.store.rollups.group_index import Indices, PipelineModel


class Cells(Struct, frozen=True):
    """Cells with scored results. Arrays of shape (cells,).

    job_type -- of all
    regions -- their codes, sorted; models -- their pipelines and models, sorted
    region, model -- the positions in these lists of each cell
    sums -- an entry a cell
    median -- seconds: the median round trip of the cell's model; 0 without one, and for transcoding
    """

    job_type: JobType
    regions: list[str]
    models: list[PipelineModel]
    region: Indices
    model: Indices
    sums: SeriesSums
    median: Doubles

    @property
    def results(self) -> Doubles:
        """The number of scored results of each cell."""
        return self.sums.results.astype(np.float64)

    def mean(self, measure: str) -> Doubles:
        """The mean of one of MEASURES in each cell."""
        return self.sums.measure(measure) / self.results

    @property
    def scores(self) -> Scores:
        """The scores of each cell."""
        return self.score(self.mean("success_rate"), self.mean("round_trip_time"))

    def score(self, success_rate: Doubles, round_trip_time: Doubles) -> Scores:
        """The scores of each cell, had it these means."""
        if self.job_type is JobType.AI:
            return score_ai(success_rate, round_trip_time, self.median)
        return score_transcoding(success_rate, self.mean("seg_duration"), round_trip_time)

    @property
    def statistics(self) -> GroupStatistics:
        """What intervals are estimated from."""
        return GroupStatistics(
            self.job_type,
            np.zeros(len(self.results), np.int64),
            self.results,
            self.sums.sums / self.results,
            self.sums.moments,
            self.median,
        )

    @property
    def weights(self) -> Doubles:
        """The weight of each cell in the score: every region counts equally, its cells by their results. They add up to 1."""
        return self.weights_in_region / len(self.regions)

    @property
    def weights_in_region(self) -> Doubles:
        """The weight of each cell in the score of its region."""
        of_region = np.bincount(self.region, self.results)[self.region]
        weights: Doubles = self.results / of_region
        return weights

    @property
    def weights_in_model(self) -> Doubles:
        """The weight of each cell in the score of its model: every region counts equally."""
        weights: Doubles = 1.0 / np.bincount(self.model)[self.model]
        return weights


def cells_of(details: Details, job_type: JobType) -> Cells | None:
    """The cells of the only orchestrator of some details; None without a scored result."""
    series = details.index.all
    selected = [
        entry
        for entry, (number, results) in enumerate(
            zip(details.sums.series.tolist(), details.sums.results.tolist(), strict=True)
        )
        if results and series[number].job_type is job_type
    ]
    if not selected:
        return None
    sums = details.sums.select(np.array(selected, np.int64))
    keys, sums = group_sums(details.index, sums, lambda each: (each.region, (each.pipeline, each.model)))
    regions, models = sorted({region for region, _ in keys}), sorted({model for _, model in keys})
    is_ai = job_type is JobType.AI
    return Cells(
        job_type,
        regions,
        models,
        np.array([regions.index(region) for region, _ in keys], np.int64),
        np.array([models.index(model) for _, model in keys], np.int64),
        sums,
        np.array([details.medians.get(model, 0.0) if is_ai else 0.0 for _, model in keys]),
    )
