"""Verifies signatures of results: those of the shared secret, and those of testers with a key of their own."""

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct

from orchboard import limits
from orchboard.errors import BadInputError, NotAuthenticatedError
from orchboard.signing import is_signed, is_webhook_signed
from orchboard.stats import Tester
from orchboard.store.directories.testers import TesterDirectory

AUTHORIZATION = b"authorization"
IDEMPOTENCY_KEY = b"idempotency-key"
TESTER = b"orchboard-tester"
WEBHOOK_ID = b"webhook-id"
WEBHOOK_TIMESTAMP = b"webhook-timestamp"
WEBHOOK_SIGNATURE = b"webhook-signature"

_WEBHOOK = frozenset({WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE})
CREDENTIALS = _WEBHOOK | {AUTHORIZATION, IDEMPOTENCY_KEY, TESTER}
"""The headers of a POST that authentication uses, in lower case."""


# Maximum number of digits in a timestamp, up to the year 33658.
_MAX_DIGITS = 12


class Identity(Struct, frozen=True):
    """The sender of a result.

    key -- the idempotency key: a body that is sent twice with it is stored once. Keys of two testers never collide. None
    without one
    tester -- None: the shared secret signed the result
    """

    key: str | None
    tester: Tester | None = None


class Authenticator:
    """Identifies the sender of a body by its signature.

    secrets -- each is valid for results that name no tester; without secrets, such results are refused
    requires_timestamp -- whether to refuse the bare signature, which can be replayed
    """

    def __init__(
        self,
        secrets: Sequence[str],
        testers: TesterDirectory,
        *,
        requires_timestamp: bool,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._secrets = secrets
        self._testers = testers
        self._requires_timestamp = requires_timestamp
        self._now = now

    def identify(self, body: bytes, headers: Mapping[bytes, bytes]) -> Identity | None:
        """The sender; None when that needs a database query, as `find` makes it.

        headers -- those of CREDENTIALS, which the request has
        Raises NotAuthenticatedError, BadInputError.
        """
        if TESTER not in headers:
            return Identity(self._key(body, headers, self._secrets))
        return self._identify_tester(body, headers) if self._testers.is_fresh() else None

    async def find(self, body: bytes, headers: Mapping[bytes, bytes]) -> Identity:
        """The sender, with a database query if necessary. Raises what `identify` raises, and DatabaseUnavailableError."""
        if TESTER not in headers:
            return Identity(self._key(body, headers, self._secrets))
        await self._testers.refresh()
        return self._identify_tester(body, headers)

    def _identify_tester(self, body: bytes, headers: Mapping[bytes, bytes]) -> Identity:
        name = _text(headers, TESTER)
        if not name:
            return Identity(self._key(body, headers, self._secrets))
        found = self._testers.key_of(name)
        if found is None:
            raise NotAuthenticatedError
        tester, secret = found
        key = self._key(body, headers, (secret,))
        return Identity(None if key is None else _key_of_one(tester, key), tester)

    def _key(self, body: bytes, headers: Mapping[bytes, bytes], secrets: Sequence[str]) -> str | None:
        """The idempotency key of a body that one of the secrets has signed; the form of the signature names its header."""
        if not _WEBHOOK.isdisjoint(headers):
            self._check_webhook(body, headers, secrets)
            return _parse_key(_text(headers, WEBHOOK_ID), "webhook-id")
        if self._requires_timestamp:
            raise NotAuthenticatedError(
                "webhook-id, webhook-timestamp and webhook-signature are required here"
            )
        signature = _text(headers, AUTHORIZATION)
        for secret in secrets:
            if is_signed(body, signature, secret):
                break
        else:
            raise NotAuthenticatedError
        return _parse_key(_text(headers, IDEMPOTENCY_KEY), "Idempotency-Key")

    def _check_webhook(self, body: bytes, headers: Mapping[bytes, bytes], secrets: Sequence[str]) -> None:
        webhook_id, timestamp = _text(headers, WEBHOOK_ID), _text(headers, WEBHOOK_TIMESTAMP)
        signatures = _text(headers, WEBHOOK_SIGNATURE)
        if missing := [name.decode() for name in sorted(_WEBHOOK) if not _text(headers, name)]:
            raise NotAuthenticatedError(
                f"{' and '.join(missing)} missing: the three webhook headers must be sent together"
            )
        if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= _MAX_DIGITS):
            raise NotAuthenticatedError("webhook-timestamp must be whole Unix seconds")
        if not any(
            is_webhook_signed(body, signatures, secret, webhook_id=webhook_id, timestamp=timestamp)
            for secret in secrets
        ):
            raise NotAuthenticatedError
        ahead_s = int(timestamp) - self._now()
        if abs(ahead_s) > limits.SIGNATURE_TOLERANCE_S:
            where = "ahead of" if ahead_s > 0 else "behind"
            raise NotAuthenticatedError(
                f"webhook-timestamp is {abs(ahead_s):.0f} s {where} this server's clock; at most {limits.SIGNATURE_TOLERANCE_S} s are allowed"
            )


def _text(headers: Mapping[bytes, bytes], name: bytes) -> str:
    value = headers.get(name)
    return value.decode("latin-1").strip() if value else ""


def _parse_key(key: str, header: str) -> str | None:
    if len(key) > limits.MAX_IDEMPOTENCY_KEY_CHARACTERS:
        raise BadInputError(f"{header} is longer than {limits.MAX_IDEMPOTENCY_KEY_CHARACTERS} characters")
    if not key.isascii():  # a database of any encoding can store the hash; no header can contain a line feed
        return "\n" + hashlib.sha256(key.encode()).hexdigest()
    return key or None


def _key_of_one(tester: Tester, key: str) -> str:
    """A tester's key as it is stored. It begins with a line feed, which no header can contain: no other sender can use it."""
    return "\n" + hashlib.sha256(f"{tester.id}\n{key}".encode()).hexdigest()
