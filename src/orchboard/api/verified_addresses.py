"""Client addresses that have posted a correctly signed result: they keep their places in a crowd."""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address
from typing import Any

from orchboard.api.trusted_proxies import Proxies

# Addresses that are remembered; the oldest is forgotten.
_MAX_ADDRESSES = 4096

# An IPv6 network of this size is one customer's.
_PREFIX_BITS = 64


class VerifiedAddresses:
    """Remembers addresses in memory, as the proxies that are trusted tell them. A restart forgets them.

    No address is that of a trusted proxy: whose requests will come on such a connection is not known, and it has its part.
    """

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._addresses: dict[str, None] = {}

    def __contains__(self, address: str) -> bool:
        return not address or address in self._addresses

    def note(self, address: str) -> None:
        """Remember an address from which a signed result came."""
        if address and address not in self._addresses:
            if len(self._addresses) >= _MAX_ADDRESSES:
                del self._addresses[next(iter(self._addresses))]
            self._addresses[address] = None

    def address_of(self, client: tuple[str, int] | None, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """Whose request it is: an IPv4 address, a /64 of IPv6, empty when it is not known.

        client -- of the connection; headers -- of the request, names in lower case
        """
        scope: dict[str, Any] = {"client": client, "headers": headers}
        return _grouped(self._proxies.client_of(scope))

    def is_proxy(self, client: tuple[str, int] | None) -> bool:
        """Whether requests of many clients come on this connection."""
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
