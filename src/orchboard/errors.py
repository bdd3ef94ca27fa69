"""The closed set of refusals. `api/refusals.py` gives each its HTTP status, `cli.py` its exit code."""

RETRY_AFTER_S = 1
"""When an answer that is unavailable now is worth asking for again, in seconds; sent with each such answer.

Readers wait for it: the explorer does so three times, and its browser side gives up after 10 s. Testers never retry.
"""


class Refusal(Exception):  # noqa: N818 - the family name; its members end in Error
    """Something was refused; the message is written for whoever asked and holds no internals."""


class BadInputError(Refusal):
    """What was sent can't be read or may not be stored; the message names the field or parameter."""


class NotAuthenticatedError(Refusal):
    """The signature is missing or wrong, or the server has no secret to check it with.

    because -- more words, where they help no stranger
    """

    def __init__(self, because: str = "") -> None:
        super().__init__("request can not be authenticated" + (f": {because}" if because else ""))


class BadTokenError(Refusal):
    """The bearer token is missing or wrong."""

    def __init__(self) -> None:
        super().__init__("the bearer token is missing or wrong")


class NotAllowedError(Refusal):
    """Who sent this is known, and may not send it."""


class BodyTooLargeError(Refusal):
    """A request body over the limit."""


class EncodedBodyError(Refusal):
    """A request body in a Content-Encoding: a result is sent, and signed, as it is."""


class KeyReusedError(Refusal):
    """An Idempotency-Key, or webhook-id, came back with another body."""

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key (or webhook-id) was used for another body")


class ClientBusyError(Refusal):
    """One client asks for too much at once: its expensive questions under way are as many as it may have."""

    def __init__(self) -> None:
        super().__init__("too many expensive questions from this address are under way; try again")


class OverloadedError(Refusal):
    """All clients together ask for too much at once: nothing was computed. Worth trying again."""

    def __init__(self) -> None:
        super().__init__("too many expensive questions are under way; try again")


class DatabaseUnavailableError(Refusal):
    """The database did not answer in time; nothing was acknowledged. Worth trying again.

    The cause travels as `__cause__` and goes to the log, never to the client.
    """


class SetupError(Refusal):
    """The program can't start or go on as it is set up: a setting, a directory, a schema."""
