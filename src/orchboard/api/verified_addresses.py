"""Client addresses that have posted a validly signed result; they have precedence when the server is crowded."""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any

from orchboard import limits
from orchboard.api.trusted_proxies import Proxies

# Size of an IPv6 network that counts as one client.
_PREFIX_BITS = 64


class VerifiedAddresses:
    """The verified addresses of one process, in memory.

    The empty address, that of a trusted proxy's connection, counts as verified: the clients of its requests are not known
    yet.
    """

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._addresses: dict[str, None] = {}

    def __contains__(self, address: str) -> bool:
        return not address or address in self._addresses

    def note(self, address: str) -> None:
        """Add an address that has sent a validly signed result."""
        if address and address not in self._addresses:
            if len(self._addresses) >= limits.MAX_VERIFIED_ADDRESSES:
                del self._addresses[next(iter(self._addresses))]
            self._addresses[address] = None

    def address_of(self, client: tuple[str, int] | None, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """The client of a request: an IPv4 address, a /64 of IPv6, empty when it is not known.

        client -- of the connection; headers -- of the request, names in lower case
        """
        scope: dict[str, Any] = {"client": client, "headers": headers}
        return _grouped(self._proxies.client_of(scope))

    def is_proxy(self, client: tuple[str, int] | None) -> bool:
        """Whether this is a connection of a trusted proxy, with requests of many clients."""
        return client is not None and self._proxies.is_ours(client[0])


def _grouped(text: str) -> str:
    if ":" not in text:
        return text
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return text
    if not isinstance(address, IPv6Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return f"{IPv6Address(int(address) >> _PREFIX_BITS << _PREFIX_BITS)}/{_PREFIX_BITS}"
