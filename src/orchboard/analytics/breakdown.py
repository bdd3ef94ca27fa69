"""Breakdown: the scores of one orchestrator and job type, by region, pipeline and model."""

import numpy as np
from msgspec.structs import replace

from orchboard.analytics.estimates import Estimates, Sensitivity, by_owner, estimate
from orchboard.analytics.groups import Points, group, tree_of
from orchboard.scoring import Doubles
from orchboard.stats import JobType
from orchboard.store.details.details import Details
from orchboard.store.details.error_sums import ErrorSums
from orchboard.store.measures import MEASURES
from orchboard.store.rollups.group_index import Indices, PipelineModel, unique_inverse


class Breakdown:
    """The groups of one orchestrator and job type. Arrays of shape (groups,).

    region, model -- the position of each group's region in `regions`, and of its pipeline and model in `models`
    sensitivity -- of the groups' scores
    """

    def __init__(self, details: Details, job_type: JobType) -> None:
        """details -- of one orchestrator"""
        self._sums = details.sums
        self._groups = group(Points.of(details), job_type, any_name=True)
        self._tree = tree_of(self._groups)
        self.job_type = job_type
        self.statistics = self._groups.statistics
        self.sensitivity = Sensitivity(self.statistics)
        columns = self._groups.columns
        self.regions = [columns.regions[each] for each in columns.pair_region[self._tree.pairs].tolist()]
        self.region = self._tree.pair_of_group
        models, self.model = unique_inverse(self._groups.model, len(columns.models))
        self.models: list[PipelineModel] = [columns.models[each] for each in models.tolist()]

    def __len__(self) -> int:
        """The number of groups."""
        return len(self.region)

    @property
    def weights(self) -> Doubles:
        """The weight of each group in the score: every region counts equally, its groups by their results. They add up to 1."""
        return self._tree.in_owner

    @property
    def weights_in_region(self) -> Doubles:
        """The weight of each group in the score of its region."""
        return self._tree.in_pair

    @property
    def weights_in_model(self) -> Doubles:
        """The weight of each group in the score of its model: every region counts equally."""
        weights: Doubles = 1.0 / np.bincount(self.model)[self.model]
        return weights

    def estimate_all(self) -> Estimates:
        """The score, with its interval; arrays of length 1."""
        return estimate(self.sensitivity, self.weights, self._tree.total_of_owner)

    def estimate_regions(self) -> Estimates:
        """The score of each of `regions`."""
        return estimate(self.sensitivity, self.weights_in_region, self._tree.total_of_pair)

    def estimate_models(self) -> Estimates:
        """The score of each of `models`."""
        return estimate(self.sensitivity, self.weights_in_model, by_owner(self.model, len(self.models)))

    def mean(self, measure: str) -> Doubles:
        """The mean of one of MEASURES in each group."""
        values: Doubles = self.statistics.means[MEASURES.index(measure)]
        return values

    @property
    def successes(self) -> Doubles:
        """The number of scored results of each group that succeeded fully."""
        return self._total(self._groups.of_entry, self._sums.successes)

    def total_round_trips(self) -> tuple[Doubles, Doubles]:
        """The number and the sum, in seconds, of each group's round trips of full successes."""
        whose = self._groups.of_entry[self._sums.round_trip_entries]
        return self._total(whose, np.ones(len(whose))), self._total(whose, self._sums.round_trips)

    def errors(self) -> ErrorSums:
        """The errors of the groups; `series` is the position of the group."""
        errors = self._sums.errors
        whose = self._groups.of_entry[np.searchsorted(self._sums.series, errors.series)]
        return replace(errors, series=whose).select(whose >= 0)

    def _total(self, whose: Indices, values: Indices | Doubles) -> Doubles:
        """Sums over the groups. whose -- the group of each value; -1: none"""
        return np.bincount(whose + 1, values, len(self) + 1)[1:].astype(np.float64)
