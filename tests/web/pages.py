"""Asking for pages."""

import re
from html import unescape

from tests.support.html_document import Document
from tests.support.server import Answer, Client

HOSTILE = "\"><script>alert('1')</script>&amp;"


def page(client: Client, path: str = "/", **params: object) -> Document:
    """A page with status 200."""
    answer = client.get(path, **params)
    assert answer.status == 200, answer.data
    return Document(answer)


def page_at(client: Client, link: str | None) -> Document:
    """The page that a link leads to."""
    assert link is not None
    answer = client.request("GET", link)
    assert answer.status == 200, (link, answer.data)
    return Document(answer)


def said(client: Client, path: str, **params: object) -> str:
    """The text of a page without its tags, spaces folded."""
    return _text(client.get(path, **params))


def said_at(client: Client, link: str) -> str:
    """The text of the page that a link leads to."""
    return _text(client.request("GET", link))


def _text(answer: Answer) -> str:
    assert answer.status == 200, answer.data
    return " ".join(unescape(re.sub("<[^>]*>", "", answer.data.decode())).split())
