"""Signs and verifies bodies in two forms: a bare HMAC, which today's testers use, and Standard Webhooks 1.0."""

import base64
import hmac
from functools import lru_cache

WEBHOOK_PREFIX = "whsec_"


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
    """An HMAC with the key set up, which takes half of the time of signing a small body."""
    return hmac.new(secret.encode(), digestmod="sha256")


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether the signature is valid for the body. Compares in constant time. Always False for an empty secret."""
    return bool(secret) and hmac.compare_digest(
        sign(body, secret).encode(), signature.encode("latin-1", "replace")
    )


def sign_webhook(body: bytes, secret: str, *, webhook_id: str, timestamp: int | str) -> str:
    """Sign a body according to Standard Webhooks: an item of a `webhook-signature` header.

    timestamp -- Unix seconds, as in the `webhook-timestamp` header

    >>> sign_webhook(b"{}", "testsecret", webhook_id="msg_1", timestamp=1727000000)[:16]
    'v1,30TA7CSyyMrcb'
    """
    # Not concatenated with the body, which may be megabytes.
    signer = hmac.new(webhook_key(secret), f"{webhook_id}.{timestamp}.".encode("latin-1"), "sha256")
    signer.update(body)
    return "v1," + base64.b64encode(signer.digest()).decode()


def is_webhook_signed(body: bytes, signatures: str, secret: str, *, webhook_id: str, timestamp: str) -> bool:
    """Whether one of the signatures, separated by spaces, is valid for the body. Compares in constant time.

    The timestamp is signed too; the caller must check that it is within SIGNATURE_TOLERANCE_S.
    """
    if not secret:
        return False
    wanted = sign_webhook(body, secret, webhook_id=webhook_id, timestamp=timestamp).encode()
    given = [one.encode("latin-1", "replace") for one in signatures.split()]
    return any(hmac.compare_digest(wanted, one) for one in given)


def webhook_key(secret: str) -> bytes:
    """The key of a secret in Standard Webhooks: base64 after `whsec_`, else the bytes of the secret, as in the bare form.

    Raises ValueError with the expected form.
    """
    if not secret.startswith(WEBHOOK_PREFIX):
        return secret.encode()
    written = secret.removeprefix(WEBHOOK_PREFIX)
    try:
        # The padding may be missing or too long.
        key = base64.b64decode(written.rstrip("=") + "=" * (-len(written.rstrip("=")) % 4), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError(f"base64 behind {WEBHOOK_PREFIX}, or text that does not begin with it")
    return key


def strength(secret: str) -> int:
    """The length of a secret's key in bytes.

    >>> strength("testsecret"), strength("whsec_dGVzdA==")
    (10, 4)
    """
    return len(webhook_key(secret))
