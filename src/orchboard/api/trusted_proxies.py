"""The client of a request that a proxy forwards: X-Forwarded-For counts only from trusted proxies."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any

Network = IPv4Network | IPv6Network


class Proxies:
    """The proxies of TRUSTED_PROXIES.

    networks -- empty: no proxy is trusted
    """

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)

    def client_of(self, scope: Mapping[str, Any]) -> str:
        """The client's address: the last one that is not a trusted proxy's; empty when it is not known.

        scope -- of ASGI; `client` and `headers` are used
        A proxy appends the address that it sees, so addresses further left may be forged.
        """
        nearest: str = (scope.get("client") or ("",))[0]
        if not self._networks:
            return nearest
        forwarded = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        hops = [hop.strip() for hop in b",".join(forwarded).decode("latin-1").split(",")]
        while hops and self.is_ours(nearest):
            address = _parse(hops.pop())
            if address is None:
                break
            nearest = str(address)
        return nearest

    def is_ours(self, text: str) -> bool:
        """Whether an address is that of a trusted proxy."""
        address = _parse(text)
        return address is not None and any(address in network for network in self._networks)


def _parse(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
