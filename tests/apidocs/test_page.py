"""The page at /docs: whole, of the server's own, and without a script."""

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from starlette.requests import Request

from orchboard.answers.origin import ORIGIN, origin_of
from orchboard.api.routes import ROUTES
from orchboard.apidocs.openapi import openapi_document, openapi_json
from orchboard.apidocs.page import docs_html, type_text
from tests.support.server import Client, RunningServer


class Tags(HTMLParser):
    """The tags of a page with their attributes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def page() -> Tags:
    return Tags(docs_html(ORIGIN))


def test_every_path_parameter_and_schema_is_on_the_page(page: Tags) -> None:
    wanted = {endpoint.path for endpoint in ROUTES} | set(openapi_document()["components"]["schemas"])
    wanted |= {param.name for endpoint in ROUTES for param in endpoint.params}
    assert {name for name in wanted if name not in page.text} == set()


def test_links_within_the_page_lead_somewhere_and_no_place_has_two_names(page: Tags) -> None:
    places = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    wanted = {str(a["href"])[1:] for tag, a in page.tags if tag == "a" and str(a.get("href")).startswith("#")}
    assert len(places) == len(set(places))
    assert wanted <= set(places)


def test_nothing_is_loaded_from_elsewhere_and_nothing_is_inline(page: Tags) -> None:
    loaded = [str(a[name]) for tag, a in page.tags for name in ("src", "href") if tag != "a" and name in a]
    assert [url for url in loaded if not re.match(r"/[^/]|data:image/", url)] == []
    assert "/docs/page.css" in loaded
    assert not {"script", "style", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    assert [a for _, a in page.tags for name in a if name == "style" or name.startswith("on")] == []


def test_the_style_sheet_loads_nothing(client: Client) -> None:
    answer = client.get("/docs/page.css")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/css; charset=utf-8")
    assert b"url(" not in answer.data and b"@import" not in answer.data


def test_the_page_forbids_code_and_frames(client: Client) -> None:
    for path in ("/docs", "/docs/", "//docs"):
        answer = client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert "default-src 'none'" in policy and "style-src 'self'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_the_document_is_open_to_any_origin_and_cached_like_other_gets(client: Client) -> None:
    answer, other = client.get("/openapi.json"), client.get("/api/regions")
    assert answer.data == openapi_json()
    for name in ("Content-Type", "Access-Control-Allow-Origin", "Cache-Control"):
        assert answer.headers[name] == other.headers[name]


def test_head_is_answered_without_a_body(client: Client) -> None:
    for path in ("/openapi.json", "/docs", "/docs/page.css", "/llms.txt"):
        answer = client.request("HEAD", path)
        assert (answer.status, answer.data) == (200, b"")


def test_llms_txt_names_every_endpoint_and_links_to_existing_places(client: Client, page: Tags) -> None:
    answer = client.get("/llms.txt")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/plain; charset=utf-8")
    text = answer.data.decode()
    assert text.startswith("# orchboard\n\n> ")
    assert all(f"[{endpoint.method} {endpoint.path}](" in text for endpoint in ROUTES)
    places = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    anchors = {link.partition("#")[2] for link in re.findall(r"\]\((\S+?)\)", text)} - {""}
    assert anchors <= places


def test_examples_ask_the_address_the_reader_came_to(client: Client, server: RunningServer) -> None:
    assert f"curl -fsS {server.url}/api/regions" in client.get("/docs").data.decode()
    through_a_proxy = {"Host": "board.example", "X-Forwarded-Proto": "https"}
    page = client.request("GET", "/docs", headers=through_a_proxy).data.decode()
    assert "curl -fsS https://board.example/api/regions" in page


@pytest.mark.parametrize("host", ["x;rm -rf", "$(id)", "a'b", "<b>", "", "a:b:c", "a.example\n"])
def test_a_host_that_a_shell_would_read_is_not_repeated(host: str) -> None:
    request = Request({"type": "http", "scheme": "http", "headers": [(b"host", host.encode())]})
    assert origin_of(request) == ORIGIN


@pytest.mark.parametrize("host", ["board.example", "127.0.0.1:80", "[::1]:8080"])
def test_a_host_is_repeated(host: str) -> None:
    scope = {
        "type": "http",
        "scheme": "http",
        "path": "/docs",
        "query_string": b"",
        "headers": [(b"host", host.encode())],
    }
    assert origin_of(Request(scope)) == f"http://{host}"


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        (
            {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
            "list of (string or null)",
        ),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "{…: number}"),
        ({"enum": ["ok"]}, '"ok"'),
        ({"$ref": "#/components/schemas/AggregatedScores"}, "AggregatedScores"),
    ],
)
def test_schemas_are_described_in_a_few_words(schema: dict[str, Any], text: str) -> None:
    assert type_text(schema, str) == text
