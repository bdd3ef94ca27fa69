"""The errors of the client."""

from orchboard.errors import Refusal

NOT_AUTHENTICATED = "request can not be authenticated"
"""The message of every server for a refused signature; orchboard may add a reason to it."""


class ClientError(Refusal):
    """A call failed. Base of the errors below; the message is one sentence for people.

    status -- HTTP status of the last answer; None when there was none
    request_id -- X-Request-Id of that answer, for the operator of the server; empty when it had none
    may_be_stored -- whether the result of a POST may be stored although no `ok` arrived; False for other calls
    idempotency_key -- of a POST: post the result again with it; empty when none was sent
    """

    status: int | None = None
    request_id: str = ""
    may_be_stored: bool = False
    idempotency_key: str = ""


class RefusedError(ClientError):
    """The server gave another answer than the one documented for success, and repeating the call does not help.

    Examples: 400, 403, 404, a redirect, 500, a body that is not that of a leaderboard server.
    """

    @property
    def is_unauthenticated(self) -> bool:
        """Whether the signature was refused: the server accepts no result signed like this one."""
        return self.status == 403 and str(self).startswith(NOT_AUTHENTICATED)


class UnavailableError(ClientError):
    """The server, or a proxy before it, answered 429, 502, 503 or 504, and the retries were used up.

    retry_after_s -- seconds after which the server wants to be asked again; None when it did not say
    """

    retry_after_s: float | None = None


class UnreachableError(ClientError):
    """No complete answer arrived in time, and the retries were used up.

    was_sent -- the server may have received the last attempt
    is_timeout -- a time limit ended the last attempt
    is_tls_failure -- TLS could not be established
    """

    was_sent: bool = False
    is_timeout: bool = False
    is_tls_failure: bool = False


class TooLargeError(ClientError):
    """The answer has more bytes than the call allows."""


class NotSentError(ClientError):
    """`post_many` did not send this result: an earlier error shows that the server takes none now."""
