"""Why an HTTP request got no answer, in words."""

import urllib3


def describe_failure(error: BaseException) -> str:
    """The reason, without the objects that urllib3 prints."""
    cause = error.__cause__ or error.__context__
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its host name is unknown"
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return str(getattr(cause, "strerror", None) or "can't connect").lower()
    if isinstance(error, urllib3.exceptions.SSLError):
        return f"TLS failed: {getattr(cause, 'verify_message', None) or getattr(cause, 'reason', None) or cause or error}"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "out of time"
    if isinstance(error, urllib3.exceptions.ProtocolError):
        return "the connection was closed"
    return str(error) or type(error).__name__
