"""The simulated network: orchestrators, the regions they are tested from, and the models they offer. Pure."""

import math
from collections.abc import Collection, Mapping
from enum import StrEnum
from random import Random

from msgspec import Struct
from msgspec.structs import replace

from orchboard.coordinates import default_coordinates
from orchboard.simulate.addresses import simulated_address
from orchboard.simulate.scenario import NO_SCENARIO, Scenario
from orchboard.stats import JobType

DAY_S = 86400


class Character(StrEnum):
    """The behaviour of an orchestrator over the simulated window."""

    GREAT = "great"
    FAIR = "fair"
    FLAKY = "flaky"
    SLOW = "slow"
    DYING = "dying"
    NEWCOMER = "newcomer"
    GONE = "gone"
    REGIONAL = "regional"


class Traits(Struct, frozen=True):
    """The parameters of a character.

    share -- of the network, relative to the other characters
    success_rate -- mean probability that a segment or job succeeds
    transcode_s -- seconds to transcode a segment: fastest and slowest machine
    pace -- duration of an AI job as a multiple of the model's: fastest and slowest machine
    outages -- probability of an outage per day
    outage_h -- duration of an outage in hours: shortest and longest
    evening -- slowdown in the busiest hour, as a fraction
    warm -- share of its models that it keeps in memory
    codes -- transcoding error codes; a code listed twice is twice as likely
    """

    share: int
    success_rate: float
    transcode_s: tuple[float, float]
    pace: tuple[float, float]
    outages: float
    outage_h: tuple[float, float]
    evening: float
    warm: float
    codes: tuple[str, ...]


_ANY_CODE = ("OrchestratorBusy", "Timeout", "TranscodeFailed", "OrchestratorCapped", "DownloadFailed")
_SLOW_CODES = ("Timeout", "Timeout", "Timeout", "OrchestratorBusy", "SessionEnded")
_FLAKY_CODES = ("TranscodeFailed", "TranscodeFailed", "Timeout", "SessionEnded", "UnknownResponse")
TRAITS: Mapping[Character, Traits] = {
    Character.GREAT: Traits(26, 0.998, (0.10, 0.20), (0.60, 0.85), 0.01, (0.1, 0.5), 0.15, 0.97, _ANY_CODE),
    Character.FAIR: Traits(38, 0.985, (0.25, 0.70), (0.85, 1.30), 0.06, (0.2, 2.0), 0.40, 0.80, _ANY_CODE),
    Character.FLAKY: Traits(12, 0.80, (0.30, 0.90), (0.90, 1.60), 0.60, (0.3, 5.0), 0.50, 0.65, _FLAKY_CODES),
    Character.SLOW: Traits(12, 0.94, (1.80, 4.50), (1.90, 3.50), 0.10, (0.3, 2.0), 0.80, 0.60, _SLOW_CODES),
    Character.DYING: Traits(4, 0.97, (0.40, 0.90), (1.00, 1.50), 0.15, (1.0, 8.0), 0.40, 0.60, _FLAKY_CODES),
    Character.NEWCOMER: Traits(3, 0.99, (0.12, 0.30), (0.60, 0.90), 0.02, (0.1, 0.5), 0.20, 0.90, _ANY_CODE),
    Character.GONE: Traits(3, 0.98, (0.25, 0.60), (0.85, 1.20), 0.05, (0.2, 2.0), 0.40, 0.80, _ANY_CODE),
    Character.REGIONAL: Traits(
        2, 0.996, (0.12, 0.25), (0.65, 0.90), 0.70, (3.0, 12.0), 0.20, 0.95, _ANY_CODE
    ),
}

NEWCOMER_JOINS_AT = 0.5
GONE_LEAVES_AT = 0.6
DEAD_AT = 0.8

# By code, in alphabetical order, because the order of regions determines the random numbers.
_COORDINATES = {
    code: (place.latitude, place.longitude) for code, place in sorted(default_coordinates().items())
}
_AI_REGIONS = ("FRA", "GLOBAL", "LAX", "MDW")
# These always do AI, so that every network has an AI orchestrator.
_ALWAYS_AI = (Character.GREAT, Character.REGIONAL)

# Latitude and longitude of machines, mostly in Europe and North America. A location listed twice is twice as likely.
_HOMES = (
    (50.1, 8.7), (50.1, 8.7), (52.4, 4.9), (60.2, 24.9), (48.9, 2.4), (51.5, -0.1), (52.2, 21.0), (44.4, 26.1),
    (40.7, -74.0), (40.7, -74.0), (32.8, -96.8), (41.9, -87.6), (34.0, -118.2), (45.6, -122.6), (45.5, -73.6),
    (1.4, 103.8), (35.6, 139.8), (-33.9, 151.2), (-23.6, -46.6),
)  # fmt: skip


class Model(Struct, frozen=True):
    """A model in a pipeline, on an average machine.

    warm_s -- seconds of a job if the model is in memory
    cold_s -- additional seconds if it is not
    """

    pipeline: str
    name: str
    warm_s: float
    cold_s: float


MODELS = (
    Model("Text to image", "ByteDance/SDXL-Lightning", 1.8, 22.0),
    Model("Text to image", "SG161222/RealVisXL_V4.0_Lightning", 2.2, 24.0),
    Model("Text to image", "stabilityai/sdxl", 4.6, 26.0),
    Model("Text to image", "black-forest-labs/FLUX.1-dev", 9.5, 55.0),
    Model("Image to image", "timbrooks/instruct-pix2pix", 3.1, 18.0),
    Model("Image to image", "ByteDance/SDXL-Lightning", 2.4, 22.0),
    Model("Image to video", "stabilityai/stable-video-diffusion-img2vid-xt-1-1", 21.0, 45.0),
    Model("Upscale", "stabilityai/stable-diffusion-x4-upscaler", 7.4, 20.0),
    Model("Audio to text", "openai/whisper-large-v3", 3.3, 16.0),
    Model("Llm", "meta-llama/Meta-Llama-3.1-8B-Instruct", 4.2, 35.0),
    Model("Segment anything 2", "facebook/sam2-hiera-large", 1.1, 9.0),
    Model("Live video to video", "streamdiffusion", 3.6, 40.0),
    Model("Live video to video", "comfyui", 5.2, 60.0),
)


class Offer(Struct, frozen=True):
    """A model that an orchestrator serves. warm_rate -- probability that it is in memory"""

    model: Model
    warm_rate: float


class Orchestrator(Struct, frozen=True):
    """An orchestrator of the network.

    success_rate -- probability that a segment or job succeeds outside of outages
    transcode_s, pace -- as in Traits, of this machine
    longitude -- of its location, in degrees; determines its evening
    round_trips_s -- seconds of a network round trip from each region's tester
    bad_region -- the only region from which its outages are seen; empty: all regions
    offers -- empty if it does no AI
    service_uris -- addresses of its machines; each is tested as often as an orchestrator with one machine
    """

    address: str
    character: Character
    success_rate: float
    transcode_s: float
    pace: float
    longitude: float
    round_trips_s: Mapping[str, float]
    bad_region: str
    offers: tuple[Offer, ...]
    service_uris: tuple[str, ...]

    def is_member(self, age: float) -> bool:
        """Whether it is in the network at position `age` (0..1) of the window."""
        if self.character is Character.NEWCOMER:
            return age >= NEWCOMER_JOINS_AT
        return self.character is not Character.GONE or age < GONE_LEAVES_AT

    def success_rate_at(self, age: float) -> float:
        """Its success rate at position `age` (0..1) of the window. Varies for DYING only."""
        dying = self.character is Character.DYING
        return self.success_rate * max(0.0, 1 - age / DEAD_AT) if dying else self.success_rate

    def evening(self, moment: float) -> float:
        """How close `moment` (Unix seconds) is to the busiest hour: 0 in the morning to 1 at 20:00 local time."""
        hour = moment / 3600 + self.longitude / 15
        busy = (1 + math.cos((hour - 20) * math.pi / 12)) / 2
        return busy * busy

    def load(self, moment: float) -> float:
        """The slowdown at `moment` (Unix seconds) as a factor, 1 at night, largest at 20:00 local time."""
        return 1 + TRAITS[self.character].evening * self.evening(moment)


class Outage(Struct, frozen=True):
    """An interval of failures, in Unix seconds. region -- where it is seen from; empty: all regions"""

    since: float
    until: float
    region: str


class Network(Struct, frozen=True):
    """A simulated network. regions -- codes of the regions with testers, by job type; scenario -- scripted events"""

    seed: int
    orchestrators: tuple[Orchestrator, ...]
    regions: Mapping[JobType, tuple[str, ...]]
    scenario: Scenario = NO_SCENARIO

    def within(self, known: Collection[tuple[str, JobType]]) -> "Network":
        """This network with the known regions only."""
        regions = {
            job_type: tuple(code for code in codes if (code, job_type) in known)
            for job_type, codes in self.regions.items()
        }
        return replace(self, regions=regions)

    def outage(self, orchestrator: Orchestrator, day: int) -> Outage | None:
        """The outage of an orchestrator on a UTC day, counted from the epoch; None without one. Deterministic."""
        traits = TRAITS[orchestrator.character]
        rng = Random(f"{self.seed}/outage/{orchestrator.address}/{day}")
        if rng.random() >= traits.outages:
            return None
        since = (day + rng.random() * 0.9) * DAY_S
        until = since + rng.uniform(*traits.outage_h) * 3600
        return Outage(since, min(until, (day + 1) * DAY_S), orchestrator.bad_region)


def make_network(seed: int, *, orchestrators: int = 100) -> Network:
    """The network of a seed. With at least eight orchestrators it has every character.

    Raises ValueError if `orchestrators` is less than 1.
    """
    if orchestrators < 1:
        raise ValueError("a network needs at least one orchestrator")
    rng = Random(f"{seed}/network/{orchestrators}")
    shares = [traits.share for traits in TRAITS.values()]
    characters = [*TRAITS, *rng.choices([*TRAITS], shares, k=max(0, orchestrators - len(TRAITS)))]
    return Network(
        seed,
        tuple(
            # The first one has several URIs, so that every network has such an orchestrator.
            _make_orchestrator(rng, character, uris=0 if number else 3)
            for number, character in enumerate(characters[:orchestrators])
        ),
        {JobType.TRANSCODING: ("GLOBAL", *_COORDINATES), JobType.AI: _AI_REGIONS},
    )


def _make_orchestrator(rng: Random, character: Character, *, uris: int) -> Orchestrator:
    """An orchestrator. uris -- number of service URIs; 0: random"""
    traits = TRAITS[character]
    home = rng.choice(_HOMES)
    round_trips_s = {code: _round_trip_s(home, location) for code, location in _COORDINATES.items()}
    nearest = min(round_trips_s, key=round_trips_s.__getitem__)
    # GLOBAL sends each job through the nearest gateway, which adds a hop.
    round_trips_s["GLOBAL"] = round_trips_s[nearest] + 0.02
    bad_region = rng.choice(("FRA", "LAX", "MDW")) if character is Character.REGIONAL else ""
    address = simulated_address(rng.randbytes(20)[:16])
    uris = uris or Random(address).choices((1, 2, 3, 5), (17, 2, 1, 1))[0]
    return Orchestrator(
        address=address,
        character=character,
        success_rate=1 - (1 - traits.success_rate) * rng.uniform(0.4, 1.6),
        transcode_s=rng.uniform(*traits.transcode_s),
        pace=rng.uniform(*traits.pace),
        longitude=home[1],
        round_trips_s=round_trips_s,
        bad_region=bad_region,
        offers=_make_offers(rng, traits) if character in _ALWAYS_AI or rng.random() < 0.5 else (),
        service_uris=tuple(f"https://{address[2:8]}-{number}.example:8935" for number in range(1, uris + 1)),
    )


def _make_offers(rng: Random, traits: Traits) -> tuple[Offer, ...]:
    models = rng.sample(MODELS, rng.randint(2, 7))
    return tuple(
        Offer(model, 0.985 if rng.random() < traits.warm else rng.uniform(0.1, 0.5)) for model in models
    )


def _round_trip_s(home: tuple[float, float], location: tuple[float, float]) -> float:
    """Seconds of a round trip over fibre (200,000 km/s) that is 1.5 times as long as the great circle."""
    (lat1, lon1), (lat2, lon2) = ((math.radians(a), math.radians(b)) for a, b in (home, location))
    angle = math.sin((lat2 - lat1) / 2) ** 2
    angle += math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    kilometres = 2 * 6371 * math.asin(min(1.0, math.sqrt(angle)))
    return 0.004 + 1.5 * 2 * kilometres / 200_000
