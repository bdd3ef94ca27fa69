"""RecentRequest: which recent results an orchestrator's page has."""

from msgspec import Struct


class RecentRequest(Struct, frozen=True):
    """How many recent results are asked for, and whether with their payloads. Part of the key of a cached answer."""

    number: int = 20
    with_payload: bool = False
