"""The closed set of refusals. `api/refusals.py` gives each its HTTP status, `cli/__init__.py` its exit code."""


class Refusal(Exception):  # noqa: N818 - the family name; its members end in Error
    """Base of all errors that are reported to the caller. The message contains no internals."""


class BadInputError(Refusal):
    """The input is invalid or can't be stored. The message names the member or parameter."""


class NotAuthenticatedError(Refusal):
    """The signature is missing or wrong, or the server has no secret.

    because -- details that do not help an attacker
    """

    def __init__(self, because: str = "") -> None:
        super().__init__("request can not be authenticated" + (f": {because}" if because else ""))


class BadTokenError(Refusal):
    """The bearer token is missing or wrong."""

    def __init__(self) -> None:
        super().__init__("the bearer token is missing or wrong")


class NotAllowedError(Refusal):
    """The sender is authenticated but not allowed to send this."""


class BodyTooLargeError(Refusal):
    """The request body is larger than the limit."""


class EncodedBodyError(Refusal):
    """The request body has a Content-Encoding. Results must be sent and signed uncompressed."""


class KeyReusedError(Refusal):
    """The Idempotency-Key, or webhook-id, was used before with a different body."""

    def __init__(self) -> None:
        super().__init__("this Idempotency-Key (or webhook-id) was used for a different body")


class ClientBusyError(Refusal):
    """This client has too many expensive queries in progress."""

    def __init__(self) -> None:
        super().__init__("too many expensive queries from this address are in progress; try again")


class OverloadedError(Refusal):
    """All clients together have too many expensive queries in progress. Nothing was computed; a retry may succeed."""

    def __init__(self) -> None:
        super().__init__("too many expensive queries are in progress; try again")


class DatabaseUnavailableError(Refusal):
    """The database did not answer in time. Nothing was acknowledged; a retry may succeed.

    `__cause__` is logged and never sent to the client.
    """


class SetupError(Refusal):
    """A setting, a directory or the schema prevents the program from starting or continuing."""
