"""The headers of requests: signatures in both forms, idempotency keys, User-Agent."""

import time
from collections.abc import Callable

from orchboard import __version__
from orchboard.client.response_reader import ACCEPT_ENCODING
from orchboard.errors import BadInputError
from orchboard.signing import sign, sign_webhook

USER_AGENT = f"orchboard/{__version__}"

MAX_LENGTH = 255
"""Of a key or a name in a header, as orchboard accepts it."""


class Headers:
    """Makes the headers of one client's requests. Raises BadInputError for a tester or a user agent that cannot be sent."""

    def __init__(self, *, secret: str, tester: str, user_agent: str) -> None:
        self._secret = secret
        self._tester = header_text("tester", tester)
        self._user_agent = header_text("user_agent", user_agent) or USER_AGENT

    def plain(self) -> dict[str, str]:
        """The headers of a GET."""
        return {"User-Agent": self._user_agent, "Accept-Encoding": ACCEPT_ENCODING}

    def signer(self, body: bytes, key: str) -> Callable[[], dict[str, str]]:
        """A function that makes the headers of one attempt to post a body: one of the signatures names the time.

        key -- the idempotency key; empty: only the bare signature, as Standard Webhooks has no message without an id
        Raises BadInputError without a secret.
        """
        if not self._secret:
            raise BadInputError("posting needs a secret: Client(url, secret=…)")
        headers = {"User-Agent": self._user_agent, "Content-Type": "application/json"}
        headers["Authorization"] = sign(body, self._secret)
        if self._tester:
            headers["Orchboard-Tester"] = self._tester

        def sign_now() -> dict[str, str]:
            if not key:
                return headers
            now = int(time.time())
            signature = sign_webhook(body, self._secret, webhook_id=key, timestamp=now)
            webhook = {"webhook-id": key, "webhook-timestamp": str(now), "webhook-signature": signature}
            return {**headers, "Idempotency-Key": key, **webhook}

        return sign_now


def header_text(what: str, text: str) -> str:
    """The text, if it can be the value of a header. Raises BadInputError that names what it is."""
    if len(text) > MAX_LENGTH or not (text.isascii() and text.isprintable()) or text != text.strip():
        raise BadInputError(f"{what} is at most {MAX_LENGTH} printable ASCII characters")
    return text
