"""Runs the jobs of testers in a simulated network: which orchestrator is tested from where, and what its tester posts. Pure."""

from math import ceil, log
from random import Random
from typing import NamedTuple

from msgspec.structs import replace

from orchboard.simulate.ai_texts import (
    BUSY_ERROR,
    FAILURES,
    PROMPTS,
    RESPONSES,
    outcome_fields,
    parameters_of,
)
from orchboard.simulate.network import (
    DAY_S,
    TRAITS,
    Character,
    Model,
    Network,
    Offer,
    Orchestrator,
    Outage,
)
from orchboard.simulate.scenario import happens
from orchboard.stats import JobType

AI_SHARE = 0.25
UNSCORED_RATE = 0.015
UNSCORED_RATE_WHEN_BUSY = 0.03
UNSCORED_RATE_AT_PEAK = 0.6
BUSY_LOAD = 1.2
AI_TIMEOUT_S = 90.0
SEGMENTS_SENT = 30
SEG_DURATION_S = 2.0088571428571425
DEGRADED_SUCCESS, DEGRADED_LOAD = 0.55, 2.5

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
    """The job testers of a network, with one random generator. The same key gives the same results.

    tester -- name of the tester of the last job; empty: it signs with the shared secret
    """

    tester = ""

    def __init__(self, network: Network, key: str) -> None:
        self._network = network
        self._rng = Random(f"{network.seed}/{key}")
        self._ai_regions = network.regions[JobType.AI]
        self._transcoding_regions = network.regions[JobType.TRANSCODING]
        self._machines = [(one, uri) for one in network.orchestrators for uri in one.service_uris]
        self._ai_machines = [machine for machine in self._machines if machine[0].offers]
        self._outages: dict[tuple[str, Character, int], Outage | None] = {}
        self._scenario = network.scenario
        codes = {*self._ai_regions, *self._transcoding_regions}
        self._testers = {code: network.scenario.testers_of(code) for code in codes}
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
        while not orchestrator.is_member(age) or happens(self._scenario.absent, orchestrator.address, moment):
            orchestrator, uri = machines[int(random() * len(machines))]
        region, self.tester = self._pick_tester(
            self._ai_regions if is_ai else self._transcoding_regions, moment
        )
        if self.tester and self._scenario.flattered.get(orchestrator.address) == self.tester:
            orchestrator = replace(orchestrator, character=Character.GREAT, success_rate=0.998)
        if not is_ai:
            return self._run_transcoding(orchestrator, region, moment, age)
        offer = orchestrator.offers[int(random() * len(orchestrator.offers))]
        return self._run_ai(orchestrator, offer, region, moment, age) | {"service_uri": uri}

    def _pick_tester(self, regions: tuple[str, ...], moment: float) -> tuple[str, str]:
        """A region, and the name of a tester that tests there at that moment; empty in a region without testers."""
        random = self._rng.random
        while True:
            region = regions[int(random() * len(regions))]
            testers = self._testers[region]
            if not testers:
                return region, ""
            tester = testers[int(random() * len(testers))]
            if moment < tester.until:
                return region, tester.name

    def _run_transcoding(
        self, orchestrator: Orchestrator, region: str, moment: float, age: float
    ) -> dict[str, object]:
        """The result of a stream of segments."""
        random = self._rng.random
        network_s = orchestrator.round_trips_s[region]
        transcode_s = orchestrator.transcode_s * self._load(orchestrator, moment) * self._noise()
        upload_s = 0.03 + 1.5 * network_s * (0.8 + 0.4 * random())
        download_s = 0.04 + 1.5 * network_s * (0.8 + 0.4 * random())
        is_out = self._is_out(orchestrator, region, moment)
        lost = (
            SEGMENTS_SENT
            if is_out
            else self._lost_segments(1 - self._success_rate(orchestrator, moment, age))
        )
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
        load = self._load(orchestrator, moment)
        job_s = model.warm_s * orchestrator.pace * load * self._noise()
        if not is_warm:
            job_s += model.cold_s * orchestrator.pace * (0.7 + 0.6 * random())
        token = f"{self._rng.getrandbits(128):032x}"
        if random() < self._unscored_rate(orchestrator, moment, load):
            is_busy = orchestrator.address in self._scenario.busy or load > BUSY_LOAD or random() < 0.5
            result = _unscored(is_busy=is_busy)
        elif self._is_out(orchestrator, region, moment) or random() > self._success_rate(
            orchestrator, moment, age
        ):
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

    def _load(self, orchestrator: Orchestrator, moment: float) -> float:
        load = orchestrator.load(moment)
        return (
            load * DEGRADED_LOAD if happens(self._scenario.degraded, orchestrator.address, moment) else load
        )

    def _success_rate(self, orchestrator: Orchestrator, moment: float, age: float) -> float:
        rate = orchestrator.success_rate_at(age)
        return (
            rate * DEGRADED_SUCCESS
            if happens(self._scenario.degraded, orchestrator.address, moment)
            else rate
        )

    def _unscored_rate(self, orchestrator: Orchestrator, moment: float, load: float) -> float:
        if orchestrator.address in self._scenario.busy:
            return UNSCORED_RATE + UNSCORED_RATE_AT_PEAK * orchestrator.evening(moment) ** 2
        return UNSCORED_RATE_WHEN_BUSY if load > BUSY_LOAD else UNSCORED_RATE

    def _is_out(self, orchestrator: Orchestrator, region: str, moment: float) -> bool:
        if happens(self._scenario.outages, orchestrator.address, moment):
            return True
        key = (orchestrator.address, orchestrator.character, int(moment // DAY_S))
        if key not in self._outages:
            self._outages[key] = self._network.outage(orchestrator, key[2])
        outage = self._outages[key]
        return outage is not None and outage.since <= moment < outage.until and outage.region in ("", region)


def _unscored(*, is_busy: bool) -> AIOutcome:
    """A result without a score: the tester gave up before it had a measurement."""
    outcome = "unscored_busy" if is_busy else "unscored_indeterminate"
    errors: list[dict[str, object]] = [BUSY_ERROR] if is_busy else []
    return AIOutcome(outcome, 0.0, errors, f'{{"message":"not scored","test_outcome":"{outcome}"}}')
