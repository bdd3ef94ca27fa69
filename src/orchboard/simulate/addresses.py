"""Addresses of simulated orchestrators, recognizable by a checksum."""

from collections.abc import Iterable
from hashlib import blake2b

from orchboard.errors import BadInputError
from orchboard.stats import EXAMPLE_ORCHESTRATOR

_RANDOM_BYTES = 16


def simulated_address(random: bytes) -> str:
    """An address of 16 random bytes and 4 bytes of checksum."""
    return "0x" + (random + _checksum(random)).hex()


def not_simulated(orchestrators: Iterable[str]) -> list[str]:
    """The orchestrators that neither `simulate` nor `post --example` uses. One in 4 billion is missed."""
    return [one for one in orchestrators if not _is_simulated(one.lower()) and one != EXAMPLE_ORCHESTRATOR]


def refuse_others(orchestrators: Iterable[str], *, what: str, name: str, into: str | None) -> None:
    """Raise BadInputError when some of `orchestrators` are not simulated, or when `into` names something else.

    what, name -- of where the results are
    """
    if into == name:
        return
    if into is not None:
        raise BadInputError(f"--into {into}: {what} is {name}")
    if others := not_simulated(orchestrators):
        more = f" and {len(others) - 1:,} more" if len(others) > 1 else ""
        raise BadInputError(
            f"{what} {name} holds results that were not simulated, of {others[0]}{more}: to add simulated ones to "
            f"them, say --into {name}"
        )


def _is_simulated(orchestrator: str) -> bool:
    try:
        address = bytes.fromhex(orchestrator.removeprefix("0x"))
    except ValueError:
        return False
    random = address[:_RANDOM_BYTES]
    return len(random) == _RANDOM_BYTES and address[_RANDOM_BYTES:] == _checksum(random)


def _checksum(random: bytes) -> bytes:
    return blake2b(random, digest_size=4, person=b"simulated").digest()
