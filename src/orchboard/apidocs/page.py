"""The documentation made from the OpenAPI document: the page at /docs, /llms.txt for language models, and docs/api.md."""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from markupsafe import Markup, escape
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from orchboard.answers.answer import Headers
from orchboard.answers.cached_query import CachedQuery
from orchboard.answers.origin import ORIGIN, origin_of
from orchboard.answers.replies import Replies
from orchboard.api.responses import CACHE_CONTROL, CDN_CACHE_CONTROL, JSON_HEADERS
from orchboard.apidocs.openapi import openapi_document, openapi_json
from orchboard.apidocs.schemas import REF
from orchboard.config import SETTINGS
from orchboard.web.assets import asset_url

if TYPE_CHECKING:
    from jinja2 import Environment

_DIRECTORY = Path(__file__).with_name("docs")

_PAGE_HEADERS = {
    "Cache-Control": CACHE_CONTROL,
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_PAGE_ANSWER_HEADERS: Headers = (
    *((name.lower().encode(), value.encode()) for name, value in _PAGE_HEADERS.items()),
    (b"cdn-cache-control", CDN_CACHE_CONTROL.encode()),
    (b"content-type", b"text/html; charset=utf-8"),
)


_TEXT_ANSWER_HEADERS: Headers = (
    (b"cache-control", CACHE_CONTROL.encode()),
    (b"cdn-cache-control", CDN_CACHE_CONTROL.encode()),
    (b"content-type", b"text/plain; charset=utf-8"),
    (b"x-content-type-options", b"nosniff"),
)


def documentation_routes(replies: Replies) -> list[Route]:
    """/openapi.json, /docs with its style sheet, and /llms.txt."""

    async def openapi(request: Request) -> Response:
        return await replies.reply(
            request, CachedQuery(("openapi",), _openapi, JSON_HEADERS, depends_on_database=False)
        )

    async def page(request: Request) -> Response:
        origin = origin_of(request)

        async def compute() -> bytes:
            return docs_html(origin).encode()

        question = CachedQuery(("docs", origin), compute, _PAGE_ANSWER_HEADERS, depends_on_database=False)
        return await replies.reply(request, question, by_target=False)

    async def llms(request: Request) -> Response:
        origin = origin_of(request)

        async def compute() -> bytes:
            return _render("llms.txt", origin).encode()

        question = CachedQuery(("llms", origin), compute, _TEXT_ANSWER_HEADERS, depends_on_database=False)
        return await replies.reply(request, question, by_target=False)

    return [
        Route("/openapi.json", openapi),
        Route("/docs", page),
        Route("/docs/page.css", _style),
        Route("/llms.txt", llms),
    ]


async def _openapi() -> bytes:
    return openapi_json()


async def _style(_: Request) -> Response:
    css = (_DIRECTORY / "page.css").read_bytes()
    return Response(css, media_type="text/css", headers=_PAGE_HEADERS)


def docs_html(origin: str) -> str:
    """The page, with examples for the server at `origin`."""
    return _render("page.html", origin)


def api_markdown() -> str:
    """docs/api.md: the page and the settings in Markdown."""
    return _render("api.md", ORIGIN)


def _render(template: str, origin: str) -> str:
    return (
        _environment()
        .get_template(template)
        .render(document=_document(), settings=SETTINGS, example_origin=ORIGIN, origin=origin)
    )


@functools.cache
def _environment() -> "Environment":
    from jinja2 import (  # 50 ms, when the page is asked for
        Environment,
        FileSystemLoader,
        StrictUndefined,
        select_autoescape,
    )

    environment = Environment(
        loader=FileSystemLoader(_DIRECTORY),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "code": _code,
        "json": pretty_json,
        "json_line": _json_line,
        "highlight": _highlight,
        "refs": lambda schema: type_text(schema, _html_link),
        "md_refs": lambda schema: type_text(schema, _markdown_link),
        "resolved": _resolved,
    }
    environment.filters |= filters
    environment.globals["asset_url"] = asset_url
    return environment


@functools.cache
def _document() -> dict[str, Any]:
    return openapi_document()


def _resolved(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the document, with its reference resolved."""
    target: dict[str, Any] = _document()
    if "$ref" not in part:
        return part
    for step in part["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return target


def _code(text: str) -> Markup:
    """Text with its `backticks` as code elements."""
    return Markup(re.sub("`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped


def pretty_json(value: Any) -> str:
    """A value in JSON, indented."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def _json_line(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=0).decode()


_TOKEN = re.compile(r'("(?:[^"\\]|\\.)*")(\s*:)?|(\btrue\b|\bfalse\b|\bnull\b|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)')


def _highlight(json: str) -> Markup:
    """JSON with its keys, strings and other values each in a <span>."""
    parts, end = [], 0
    for match in _TOKEN.finditer(json):
        kind = "key" if match[2] else "string" if match[1] else "value"
        parts += [
            escape(json[end : match.start()]),
            Markup('<span class="{}">{}</span>').format(kind, match[1] or match[3]),
        ]
        parts.append(escape(match[2] or ""))
        end = match.end()
    return Markup("").join([*parts, escape(json[end:])])


def _html_link(name: str) -> Markup:
    return Markup('<a href="#{0}">{0}</a>').format(name)


def _markdown_link(name: str) -> str:
    return f"[{name}](#{name.lower()})"


def type_text(schema: dict[str, Any], link: Callable[[str], str]) -> Markup | str:
    """A short description of a schema, with links to named schemas.

    >>> type_text({"type": "array", "items": {"type": ["string", "null"]}}, str)
    'list of string or null'
    """
    within = functools.partial(type_text, link=link)
    if "$ref" in schema:
        return link(schema["$ref"].removeprefix(REF))
    if "anyOf" in schema:
        return _joined(" or ", [within(part) for part in schema["anyOf"]])
    if "enum" in schema:
        return _joined(" or ", [f'"{value}"' for value in schema["enum"]])
    if "type" not in schema:
        return "any JSON"
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return _joined(" or ", [_one_type(type_, schema, within) for type_ in types])


def _one_type(type_: str, schema: dict[str, Any], within: Callable[[dict[str, Any]], str]) -> str:
    if type_ == "array":
        items = within(schema["items"])
        return _joined("", ["list of (", items, ")"] if " or " in items else ["list of ", items])
    if type_ == "object" and schema.get("maxProperties") == 0:
        return "{}"
    if type_ == "object" and "additionalProperties" in schema:
        return _joined("", ["{…: ", within(schema["additionalProperties"]), "}"])
    return type_


def _joined(separator: str, parts: list[str]) -> str:
    """The parts joined; if one is markup, the result is, and the others are escaped."""
    if any(isinstance(part, Markup) for part in parts):
        return escape(separator).join(parts)
    return separator.join(parts)
