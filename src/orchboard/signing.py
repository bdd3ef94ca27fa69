"""Sign and verify the body of a POST: HMAC-SHA256 in 64 lower-case hex digits."""

import hmac


def sign(body: bytes, secret: str) -> str:
    """Sign a raw body; the value of its `Authorization` header.

    >>> sign(b"{}", "testsecret")[:16]
    '9d3515542a0f0bd9'
    """
    return hmac.new(secret.encode(), body, "sha256").hexdigest()


def is_signed(body: bytes, signature: str, secret: str) -> bool:
    """Whether the signature is the body's, compared in constant time.

    An empty secret signs nothing: without one, every body is unsigned.
    """
    return bool(secret) and hmac.compare_digest(
        sign(body, secret).encode(), signature.encode("latin-1", "replace")
    )
