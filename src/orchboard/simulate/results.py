"""Makes the results that job testers of a simulated network would send, in time order. Pure."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from math import ceil, log
from random import Random
from typing import NamedTuple

from msgspec import Struct

from orchboard.simulate.ai_texts import FAILURES, PROMPTS, RESPONSES, outcome_fields, parameters_of
from orchboard.simulate.network import DAY_S, TRAITS, Model, Network, Offer, Orchestrator, Outage
from orchboard.stats import JobType

# Each batch has its own random generator, so that processes can make batches in parallel.
RESULTS_A_BATCH = 10_000

AI_SHARE = 0.25
UNSCORED_RATE = 0.015
UNSCORED_RATE_WHEN_BUSY = 0.03
BUSY_LOAD = 1.2
AI_TIMEOUT_S = 90.0
SEGMENTS_SENT = 30
SEG_DURATION_S = 2.0088571428571425

_MICROSECOND = timedelta(microseconds=1)


class ResultPlan(Struct, frozen=True):
    """A set of results to simulate: `count`, spread evenly over since..until, in batches.

    Raises ValueError if a datetime has no time zone, until is before since, or count is negative.
    """

    since: datetime
    until: datetime
    count: int

    def __post_init__(self) -> None:
        if self.since.tzinfo is None or self.until.tzinfo is None:
            raise ValueError("since and until need a time zone")
        if self.until < self.since:
            raise ValueError("until must not be before since")
        if self.count < 0:
            raise ValueError("count must not be negative")

    @property
    def batches(self) -> int:
        """The number of batches. The last may be smaller."""
        return ceil(self.count / RESULTS_A_BATCH)

    def size(self, batch: int) -> int:
        """The number of results in a batch."""
        return min(RESULTS_A_BATCH, self.count - batch * RESULTS_A_BATCH)

    def bounds(self, batch: int) -> tuple[datetime, datetime]:
        """The interval of a batch."""
        first, total = batch * RESULTS_A_BATCH, (self.until - self.since) // _MICROSECOND
        ends = (first, first + self.size(batch))
        start, end = (self.since + total * end // self.count * _MICROSECOND for end in ends)
        return start, end


def results(
    network: Network, *, since: datetime, until: datetime, count: int
) -> Iterator[tuple[datetime, dict[str, object]]]:
    """`count` results from since to until, in time order: (event_time, body).

    Deterministic in the network and the arguments. A body has every member that the server stores, and the extra members
    of today's AI tester. Orchestrators join, leave and fail within since..until.

    since, until -- aware datetimes

    Raises ValueError as ResultPlan does.
    """
    plan = ResultPlan(since, until, count)
    for batch in range(plan.batches):
        yield from batch_results(network, plan, batch)


def batch_results(
    network: Network, plan: ResultPlan, batch: int
) -> Iterator[tuple[datetime, dict[str, object]]]:
    """A batch of the results of a plan. Batches are in time order."""
    size = plan.size(batch)
    total = (plan.until - plan.since) // _MICROSECOND
    start, end = ((bound - plan.since) // _MICROSECOND for bound in plan.bounds(batch))
    testers = JobTesters(network, f"{plan.since.timestamp()}/{plan.until.timestamp()}/{plan.count}/{batch}")
    epoch = plan.since.timestamp()
    for offset in sorted(testers.offsets(start, end, size)):
        event_time = plan.since + offset * _MICROSECOND
        yield (event_time, testers.run(epoch + offset / 1e6, offset / total if total else 1.0))


_NO_AI: dict[str, object] = {
    "model": "",
    "model_is_warm": False,
    "pipeline": "",
    "input_parameters": "",
    "response_payload": "",
}
_NO_TRANSCODING: dict[str, object] = {
    "seg_duration": 0.0,
    "segments_sent": 0,
    "segments_received": 0,
    "upload_time": 0.0,
    "download_time": 0.0,
    "transcode_time": 0.0,
}


class AIOutcome(NamedTuple):
    """The outcome of an AI job. outcome -- passed, failed, unscored_busy or unscored_indeterminate"""

    outcome: str
    round_trip_s: float
    errors: list[dict[str, object]]
    response_payload: str


class JobTesters:
    """The job testers of a network, with one random generator. The same key gives the same results."""

    def __init__(self, network: Network, key: str) -> None:
        self._network = network
        self._rng = Random(f"{network.seed}/{key}")
        self._ai_regions = network.regions[JobType.AI]
        self._transcoding_regions = network.regions[JobType.TRANSCODING]
        self._machines = [(one, uri) for one in network.orchestrators for uri in one.service_uris]
        self._ai_machines = [machine for machine in self._machines if machine[0].offers]
        self._outages: dict[tuple[str, int], Outage | None] = {}
        self._ai_share = AI_SHARE if self._transcoding_regions else 1.0
        if not (self._ai_regions and self._ai_machines):
            self._ai_share = 0.0

    def offsets(self, start: int, end: int, size: int) -> list[int]:
        """`size` random integers in [start, end), unsorted."""
        random, width = self._rng.random, end - start
        return [start + int(random() * width) for _ in range(size)]

    def run(self, moment: float, age: float) -> dict[str, object]:
        """The body that a tester posts for a job.

        moment -- Unix seconds
        age -- position in the simulated window, 0..1
        """
        random = self._rng.random
        is_ai = random() < self._ai_share
        machines = self._ai_machines if is_ai else self._machines
        orchestrator, uri = machines[int(random() * len(machines))]
        while not orchestrator.is_member(age):
            orchestrator, uri = machines[int(random() * len(machines))]
        regions = self._ai_regions if is_ai else self._transcoding_regions
        region = regions[int(random() * len(regions))]
        if not is_ai:
            return self._run_transcoding(orchestrator, region, moment, age)
        offer = orchestrator.offers[int(random() * len(orchestrator.offers))]
        return self._run_ai(orchestrator, offer, region, moment, age) | {"service_uri": uri}

    def _run_transcoding(
        self, orchestrator: Orchestrator, region: str, moment: float, age: float
    ) -> dict[str, object]:
        """The result of a stream of segments."""
        random = self._rng.random
        network_s = orchestrator.round_trips_s[region]
        transcode_s = orchestrator.transcode_s * orchestrator.load(moment) * self._noise()
        upload_s = 0.03 + 1.5 * network_s * (0.8 + 0.4 * random())
        download_s = 0.04 + 1.5 * network_s * (0.8 + 0.4 * random())
        is_out = self._is_out(orchestrator, region, moment)
        lost = SEGMENTS_SENT if is_out else self._lost_segments(1 - orchestrator.success_rate_at(age))
        received = SEGMENTS_SENT - lost
        return {
            "region": region,
            "orchestrator": orchestrator.address,
            "success_rate": round(received / SEGMENTS_SENT, 6),
            "round_trip_time": round(upload_s + transcode_s + download_s, 6) if received else 0.0,
            "errors": self._transcoding_errors(orchestrator, lost, is_out=is_out),
            "timestamp": int(moment),
            "seg_duration": SEG_DURATION_S if received else 0.0,
            "segments_sent": SEGMENTS_SENT,
            "segments_received": received,
            "upload_time": round(upload_s, 6),
            "download_time": round(download_s, 6) if received else 0.0,
            "transcode_time": round(transcode_s, 6) if received else 0.0,
            **_NO_AI,
        }

    def _lost_segments(self, failure_rate: float) -> int:
        """The number of lost segments of a stream: few streams lose many, most lose none."""
        bad_streams = min(1.0, 6 * failure_rate)
        if self._rng.random() >= bad_streams:
            return 0
        # u^k has the mean 1 / (k + 1), which must be failure_rate / bad_streams. At 1 all segments are lost.
        share: float = self._rng.random() ** (bad_streams / failure_rate - 1)
        return ceil(SEGMENTS_SENT * share)

    def _transcoding_errors(
        self, orchestrator: Orchestrator, lost: int, *, is_out: bool
    ) -> list[dict[str, object]]:
        """The lost segments by error code: one code in an outage, else up to two."""
        if not lost:
            return []
        if is_out:
            return [{"error_code": "OrchestratorUnavailable", "message": "connection refused", "count": lost}]
        codes = TRAITS[orchestrator.character].codes
        first, second = (codes[int(self._rng.random() * len(codes))] for _ in range(2))
        if first == second or lost == 1:
            return [{"error_code": first, "count": lost}]
        part = 1 + int(self._rng.random() * (lost - 1))
        return [{"error_code": first, "count": part}, {"error_code": second, "count": lost - part}]

    def _run_ai(
        self, orchestrator: Orchestrator, offer: Offer, region: str, moment: float, age: float
    ) -> dict[str, object]:
        """The result of a job of a model."""
        random = self._rng.random
        model = offer.model
        prompt = PROMPTS[int(random() * len(PROMPTS))]
        input_parameters, params_hash = parameters_of(model, prompt)
        is_warm = random() < offer.warm_rate
        load = orchestrator.load(moment)
        job_s = model.warm_s * orchestrator.pace * load * self._noise()
        if not is_warm:
            job_s += model.cold_s * orchestrator.pace * (0.7 + 0.6 * random())
        token = f"{self._rng.getrandbits(128):032x}"
        if random() < (UNSCORED_RATE_WHEN_BUSY if load > BUSY_LOAD else UNSCORED_RATE):
            result = _unscored(is_busy=load > BUSY_LOAD or random() < 0.5)
        elif self._is_out(orchestrator, region, moment) or random() > orchestrator.success_rate_at(age):
            result = self._failed()
        else:
            result = self._answered(model, token, job_s, 2 * orchestrator.round_trips_s[region])
        return {
            "region": region,
            "orchestrator": orchestrator.address,
            "success_rate": 1 if result.outcome == "passed" else 0,
            "round_trip_time": round(result.round_trip_s, 6),
            "errors": result.errors,
            "timestamp": int(moment),
            **_NO_TRANSCODING,
            "model": model.name,
            "model_is_warm": is_warm,
            "pipeline": model.pipeline,
            "input_parameters": input_parameters,
            "response_payload": result.response_payload,
            "test_outcome": result.outcome,
            "prompt_id": prompt.id,
            "prompt_complexity": prompt.complexity,
            "params_hash": params_hash,
            **outcome_fields(result.outcome, model, token),
        }

    def _failed(self) -> AIOutcome:
        """A job that fails quickly."""
        code, message, response = FAILURES[int(self._rng.random() * len(FAILURES))]
        errors: list[dict[str, object]] = [{"error_code": code, "message": message, "count": 1}]
        return AIOutcome("failed", 0.15 + 2 * self._rng.random(), errors, response)

    def _answered(self, model: Model, token: str, job_s: float, network_s: float) -> AIOutcome:
        """A job that succeeds, or times out if it takes longer than AI_TIMEOUT_S."""
        if job_s + network_s > AI_TIMEOUT_S:
            message = f"no answer in {AI_TIMEOUT_S:.0f} s"
            errors: list[dict[str, object]] = [{"error_code": "timeout", "message": message, "count": 1}]
            return AIOutcome("failed", AI_TIMEOUT_S + self._rng.random() / 10, errors, "")
        numbers = {"seed": self._rng.getrandbits(31), "number": 380 + int(self._rng.random() * 60)}
        response = RESPONSES[model.pipeline] % {"token": token, "seconds": job_s, **numbers}
        return AIOutcome("passed", job_s + network_s, [], response)

    def _noise(self) -> float:
        """A random factor with the distribution of response times: around 1, at least 0.85, sometimes much larger."""
        return 0.85 - 0.12 * log(1 - self._rng.random())

    def _is_out(self, orchestrator: Orchestrator, region: str, moment: float) -> bool:
        key = (orchestrator.address, int(moment // DAY_S))
        if key not in self._outages:
            self._outages[key] = self._network.outage(orchestrator, key[1])
        outage = self._outages[key]
        return outage is not None and outage.since <= moment < outage.until and outage.region in ("", region)


def _unscored(*, is_busy: bool) -> AIOutcome:
    """A result without a score: the tester gave up before it had a measurement."""
    outcome = "unscored_busy" if is_busy else "unscored_indeterminate"
    return AIOutcome(outcome, 0.0, [], f'{{"message":"not scored","test_outcome":"{outcome}"}}')
