"""The pages of refusals."""

from collections.abc import Mapping

from msgspec import Struct
from starlette.responses import Response

from orchboard import limits
from orchboard.errors import BadInputError, Refusal, SetupError
from orchboard.web.rendering import render_page


class _Words(Struct, frozen=True):
    """The heading of a status, and what the reader can do."""

    heading: str
    advice: str


_UNREADABLE = _Words("That can’t be shown", "Something in the address of this page is not as it should be.")
_LATER = _Words("Back soon", "Nothing is lost, and nothing needs doing on your side.")
_WORDS = {
    400: _UNREADABLE,
    404: _Words("There is no such page", "The address may be mistyped, or the link to it out of date."),
    405: _Words("That can’t be done here", "This address can’t be used in that way."),
    414: _Words("That address is too long", "Leave a part of it out."),
    500: _Words("Something went wrong", "The fault is the server’s, and its log has the details."),
    503: _LATER,
}


def refused_page(
    status: int, message: str, headers: Mapping[str, str] | None = None, *, again: str | None = None
) -> Response:
    """The page of an error, which must not be cached.

    message -- what is wrong, for people
    again -- a link that repeats the request, if that may help
    """
    words = _WORDS.get(status, _UNREADABLE)
    whole = {"Cache-Control": "no-store", **(headers or {})}
    # The message begins with the name of a parameter: not capitalised.
    is_input = status == 400
    return render_page(
        "refused.html", status, whole, message=message, is_input=is_input, words=words, again=again
    )


def refusal_page(refusal: Refusal, path: str, query: str) -> Response:
    """The page of a refusal of a page: 400, or 503 with Retry-After.

    path, query -- of the requested page
    """
    if isinstance(refusal, BadInputError):
        return refused_page(400, str(refusal))
    message = "the server is not ready" if isinstance(refusal, SetupError) else str(refusal)
    again = f"{path}?{query}" if query else path
    return refused_page(503, message, {"Retry-After": str(limits.RETRY_AFTER_S)}, again=again)
