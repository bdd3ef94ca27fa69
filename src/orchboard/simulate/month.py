"""The network of the demonstration: a month with an outage, a slow decline, a newcomer, busy hours, a silent region and a
dishonest tester.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from orchboard.simulate.network import DAY_S, Character, Network, Orchestrator, make_network
from orchboard.simulate.scenario import Interval, Scenario, SimulatedTester

MONTH_DAYS = 30

HOUR_S = 3600
OUTAGE_BEGAN_H, OUTAGE_H = 15, 6
DEGRADED_SINCE_DAYS = 4
JOINED_DAYS = 2
SILENT_SINCE_DAYS = 3
SILENT_REGION = "SYD"
DISHONEST_TESTER = "meridian"


# Some of them, as in any network; two in scripts that tables must cope with.
NAMES = (
    "Blue Harbour Video", "transcode.north", "Pixel Mill", "Olivine", "nodes by Ines", "Kestrel GPU", "流光转码", "Saffron 🌶",
    "Bit & Frame", "Farringdon Streams", "צפון וידאו", "two-racks",
)  # fmt: skip


def month_network(seed: int, now: datetime) -> Network:
    """The network of a seed with its scenario. now -- the end of the month, aware"""
    network = make_network(seed)
    return replace(network, scenario=_scenario(network.orchestrators, now.timestamp()))


def _scenario(orchestrators: Sequence[Orchestrator], now: float) -> Scenario:
    fair, great, dying = (
        iter([one.address for one in orchestrators if one.character is character and one.offers])
        for character in (Character.FAIR, Character.GREAT, Character.DYING)
    )
    began = now - OUTAGE_BEGAN_H * HOUR_S
    return Scenario(
        testers=(
            SimulatedTester("atlas", 5),
            SimulatedTester("harbour", 3),
            SimulatedTester(DISHONEST_TESTER, 2),
            SimulatedTester("southern", 1, frozenset([SILENT_REGION]), now - SILENT_SINCE_DAYS * DAY_S),
        ),
        outages={next(fair): Interval(began, began + OUTAGE_H * HOUR_S)},
        degraded={next(fair): Interval(now - DEGRADED_SINCE_DAYS * DAY_S)},
        absent={next(great): Interval(0, now - JOINED_DAYS * DAY_S)},
        busy=frozenset(next(each) for each in (great, great, great, fair, fair, fair)),
        flattered=dict.fromkeys(dying, DISHONEST_TESTER),
        names=dict(
            zip(
                (one.address.lower() for one in orchestrators[:: len(orchestrators) // len(NAMES)]),
                NAMES,
                strict=False,
            )
        ),
    )
