"""Sign and verify the body of a POST: the bare HMAC of today's testers, and Standard Webhooks 1.0."""

import base64
import hmac
from functools import lru_cache

# A shorter key can be guessed from one signed result.
SHORT_SECRET_BYTES = 16

WEBHOOK_PREFIX = "whsec_"

TOLERANCE_S = 300
"""How far the moment that a Standard Webhooks signature names may be from the verifier's clock, either way."""


def sign(body: bytes, secret: str) -> str:
    """Sign a raw body: HMAC-SHA256 in 64 lower-case hex digits, the value of its `Authorization` header.

    >>> sign(b"{}", "testsecret")[:16]
    '9d3515542a0f0bd9'
    """
    signer = _signer(secret).copy()
    signer.update(body)
    return signer.hexdigest()


@lru_cache(maxsize=64)
def _signer(secret: str) -> hmac.HMAC:
    """What has taken in the secret and no body: half of the time that a small body takes."""
    return hmac.new(secret.encode(), digestmod="sha256")


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether the signature is the body's, compared in constant time.

    An empty secret signs nothing: without one, every body is unsigned.
    """
    return bool(secret) and hmac.compare_digest(
        sign(body, secret).encode(), signature.encode("latin-1", "replace")
    )


def sign_webhook(body: bytes, secret: str, *, webhook_id: str, timestamp: int | str) -> str:
    """Sign as Standard Webhooks has it: one item of a `webhook-signature` header.

    timestamp -- Unix seconds, as the `webhook-timestamp` header has them

    >>> sign_webhook(b"{}", "testsecret", webhook_id="msg_1", timestamp=1727000000)[:16]
    'v1,30TA7CSyyMrcb'
    """
    # The body is not joined to the rest: it may be megabytes.
    signer = hmac.new(webhook_key(secret), f"{webhook_id}.{timestamp}.".encode("latin-1"), "sha256")
    signer.update(body)
    return "v1," + base64.b64encode(signer.digest()).decode()


def is_webhook_signed(body: bytes, signatures: str, secret: str, *, webhook_id: str, timestamp: str) -> bool:
    """Whether one of the signatures, with spaces between, is the body's; compared in constant time.

    The timestamp is part of what is signed; whether it is of now, the caller has to see.
    """
    if not secret:
        return False
    wanted = sign_webhook(body, secret, webhook_id=webhook_id, timestamp=timestamp).encode()
    given = [one.encode("latin-1", "replace") for one in signatures.split()]
    return any(hmac.compare_digest(wanted, one) for one in given)


def webhook_key(secret: str) -> bytes:
    """The bytes that a secret stands for in Standard Webhooks.

    Behind `whsec_` they are written in base64; without it the secret is its own bytes, as in the bare form.
    Raises ValueError saying what is wanted.
    """
    if not secret.startswith(WEBHOOK_PREFIX):
        return secret.encode()
    written = secret.removeprefix(WEBHOOK_PREFIX)
    try:
        # Some leave the padding out; more of it than needed is no error.
        key = base64.b64decode(written.rstrip("=") + "=" * (-len(written.rstrip("=")) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError(f"base64 behind {WEBHOOK_PREFIX}, or text that does not begin with it")
    return key


def strength(secret: str) -> int:
    """How many bytes there are to guess.

    >>> strength("testsecret"), strength("whsec_dGVzdA==")
    (10, 4)
    """
    return len(webhook_key(secret))
