"""Scripted events of a simulated network: testers with names, outages, a newcomer, busy orchestrators, false verdicts. Pure."""

from collections.abc import Mapping

from msgspec import Struct

FOREVER = float("inf")


class Interval(Struct, frozen=True):
    """A time in Unix seconds is within it if since <= time < until."""

    since: float
    until: float = FOREVER

    def includes(self, moment: float) -> bool:
        """Whether a time is within it."""
        return self.since <= moment < self.until


class SimulatedTester(Struct, frozen=True):
    """A job tester that signs with its own key.

    share -- of the results of its regions, relative to the other testers there
    regions -- that it alone tests from; empty: all others
    until -- Unix seconds; it posts nothing from then on
    """

    name: str
    share: int
    regions: frozenset[str] = frozenset()
    until: float = FOREVER


class Scenario(Struct, frozen=True):
    """What happens in a network beside the chance events of its orchestrators' characters. Mappings are by address.

    testers -- none: all results are signed with the shared secret
    outages -- no job succeeds
    degraded -- the success rate is multiplied by 0.55, transcoding and job times by 2.5
    absent -- an orchestrator is not in the network
    busy -- orchestrators that have no capacity for many AI jobs at the busiest hours of their day
    flattered -- testers that report successes of an orchestrator, whatever happens, by address
    names -- that the operator gives, by address in lower case
    """

    testers: tuple[SimulatedTester, ...] = ()
    outages: Mapping[str, Interval] = {}
    degraded: Mapping[str, Interval] = {}
    absent: Mapping[str, Interval] = {}
    busy: frozenset[str] = frozenset()
    flattered: Mapping[str, str] = {}
    names: Mapping[str, str] = {}

    def testers_of(self, region: str) -> tuple[SimulatedTester, ...]:
        """The testers of a region; each as often as its share."""
        own = [tester for tester in self.testers if region in tester.regions]
        found = own or [tester for tester in self.testers if not tester.regions]
        return tuple(tester for tester in found for _ in range(tester.share))


NO_SCENARIO = Scenario()


def happens(events: Mapping[str, Interval], address: str, moment: float) -> bool:
    """Whether an event of an orchestrator includes a time."""
    interval = events.get(address)
    return interval is not None and interval.includes(moment)
