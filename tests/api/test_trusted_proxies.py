"""X-Forwarded-For: believed of proxies that are named, and of nobody else."""

from ipaddress import ip_network

import pytest

from orchboard.api.trusted_proxies import Proxies
from orchboard.config import read_settings
from orchboard.errors import SetupError

OURS = [ip_network("127.0.0.0/8"), ip_network("10.0.0.0/24"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("networks", "peer", "forwarded", "client"),
    [
        ([], "127.0.0.1", "203.0.113.9", "127.0.0.1"),
        (OURS, "198.51.100.7", "203.0.113.9", "198.51.100.7"),
        (OURS, "127.0.0.1", "203.0.113.9", "203.0.113.9"),
        (OURS, "127.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.5", "203.0.113.9"),
        (OURS, "127.0.0.1", "10.0.0.5", "10.0.0.5"),
        (OURS, "127.0.0.1", 'unknown"\n', "127.0.0.1"),
        (OURS, "127.0.0.1", "", "127.0.0.1"),
        (OURS, "::ffff:10.0.0.5", "2001:db8::1", "2001:db8::1"),
        (OURS, "fd00::1", "2001:db8::1", "2001:db8::1"),
    ],
)
def test_the_nearest_address_that_is_none_of_ours_is_the_clients(
    networks: list[object], peer: str, forwarded: str, client: str
) -> None:
    headers = [(b"x-forwarded-for", part.encode()) for part in forwarded.split(";")]
    assert Proxies(networks).client_of({"client": (peer, 1), "headers": headers}) == client  # type: ignore[arg-type] # ip_network's


def test_the_setting_takes_addresses_and_networks_and_names_itself_when_it_can_not() -> None:
    known = read_settings({"TRUSTED_PROXIES": "127.0.0.1, 10.0.0.0/8,fd00::/8"}).trusted_proxies
    assert [str(network) for network in known] == ["127.0.0.1/32", "10.0.0.0/8", "fd00::/8"]
    assert read_settings({}).trusted_proxies == ()
    for wrong in ("nginx", "10.0.0.1/8", "10.0.0.0/8;127.0.0.1"):
        with pytest.raises(SetupError, match="TRUSTED_PROXIES"):
            read_settings({"TRUSTED_PROXIES": wrong})
