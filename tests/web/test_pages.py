"""What all pages have in common: errors as pages, headers, files, URLs in brief."""

import re

import pytest
from msgspec.structs import replace

from orchboard.api.routes import ROUTES
from orchboard.config import Settings
from tests.support.html_document import Document
from tests.support.samples import ORCHESTRATOR, ai, transcoding
from tests.support.server import Answer, Client, StartServer
from tests.web.pages import page, page_at

OWN = f"/orchestrator/{ORCHESTRATOR}"


@pytest.fixture
def board(client: Client) -> Client:
    """An orchestrator with a result of each job type."""
    for result in (transcoding(region="FRA"), ai(region="FRA")):
        assert client.post_stats(result).data == b"ok"
    return client


# In one test, because each would start a server of its own.
WRONG = (
    ("/?job_type=video", "job_type must be one of transcoding, ai"),
    ("/?window=yesterday", "window must be one of 1h, 24h, 7d, 30d, 90d, 1y, all"),
    ("/?sort=shoe", "sort must be one of rank, score, success_rate"),
    ("/?order=up", "order must be one of asc, desc"),
    ("/?min_results=-1", "min_results must be a whole number"),
    ("/?region=XYZ", "region must be one of "),
    ("/?region=LON&job_type=ai", "for ai jobs"),
    ("/?model=%00", "model contains the character U+0000"),
    ("/?cursor=x", "cursor must be a next_cursor"),
    (f"/?search={'x' * 57}", "search is longer than 56 characters"),
    (f"{OWN}?window=yesterday", "window must be one of"),
    (f"{OWN}?region=XYZ", "region must be one of"),
    (f"/orchestrator/{'x' * 57}", "address is longer than 56 characters"),
    ("/orchestrator/%00", "U+0000"),
)


def test_a_wrong_parameter_is_explained_on_a_page(client: Client) -> None:
    for target, said in WRONG:
        answer = client.request("GET", target)
        assert (answer.status, answer.headers["Content-Type"]) == (400, "text/html; charset=utf-8"), target
        assert answer.headers["Cache-Control"] == "no-store"
        assert said.encode() in answer.data, (target, answer.data)
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_a_database_that_is_away_is_a_page_to_come_back_to(
    settings: Settings, start_server: StartServer
) -> None:
    away = replace(settings, postgres="postgresql://nobody@127.0.0.1:1/nowhere")
    client = Client(start_server(away).url)
    for target in (
        "/?window=7d",
        f"{OWN}?window=7d",
        "/network?window=7d",
        f"/compare?orchestrators={ORCHESTRATOR},0xb",
    ):
        answer = client.request("GET", target)
        assert (answer.status, answer.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
        assert answer.headers["Retry-After"] == "1"
        assert f'<a href="{target}">Try again</a>'.encode() in answer.data
        assert b"127.0.0.1" not in answer.data and b"nowhere" not in answer.data


def test_a_page_may_load_nothing_but_its_own_files(board: Client) -> None:
    for path in ("/", OWN):
        answer = board.get(path, job_type="ai")
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert answer.headers["Cache-Control"] == "public, max-age=30"
        assert answer.headers["Content-Security-Policy"] == (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'"
        )
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        document = Document(answer)
        assert {tag for tag, _ in document.tags}.isdisjoint({"style", "iframe", "object", "base"})
        assert not [attributes for _, attributes in document.tags if "style" in attributes]
        loaded = [link["href"] for link in document.all("link")]
        loaded += [each["src"] for tag in ("img", "script") for each in document.all(tag)]
        assert all((url or "").startswith(("/static/", "/badge/")) for url in loaded)


def test_every_link_of_a_page_leads_somewhere(board: Client) -> None:
    for start in ("/", "/?job_type=ai", "/?pipeline=text-to-image&window=7d", OWN, f"{OWN}?job_type=ai"):
        for link in sorted(set(page_at(board, start).links("/"))):
            if not link.startswith(("/docs", "/network", "/methods")):
                assert board.request("GET", link).status in (200, 303), link


def test_the_page_and_its_files_answer_head(board: Client) -> None:
    links = [link["href"] or "" for link in page(board).all("link")]
    links += [script["src"] or "" for script in page(board).all("script")]
    for path in ("/", "//", OWN, *links):
        whole, head = board.get(path), board.request("HEAD", path)
        assert (head.status, head.data) == (200, b"")
        assert head.headers["Content-Type"] == whole.headers["Content-Type"]


def test_a_static_file_may_be_kept_for_a_year_and_only_under_its_own_hash(client: Client) -> None:
    document = page(client)
    for path in [link["href"] or "" for link in document.all("link")] + [
        document.all("script")[0]["src"] or ""
    ]:
        answer = client.get(path)
        assert answer.status == 200
        assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert re.fullmatch(r"/static/\w+\.[0-9a-f]{16}\.(css|js|svg)", path)
        stale = client.get(re.sub(r"\.[0-9a-f]{16}\.", ".0123456789abcdef.", path))
        assert (stale.status, stale.headers["Content-Type"]) == (404, "application/json")


HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}


def is_page(answer: Answer) -> bool:
    return (
        answer.headers["Content-Type"] == "text/html; charset=utf-8"
        and answer.headers["Cache-Control"] == "no-store"
        and "default-src 'none'" in answer.headers["Content-Security-Policy"]
        and b"<!doctype html>" in answer.data
        and b"Go to the whole leaderboard" in answer.data
    )


def test_a_path_that_is_not_there_is_a_page_for_a_browser_and_json_for_others(client: Client) -> None:
    for path in ("/nowhere", "/api/nope", "/api", "/docs/nope", "/static/orchboard.0123456789abcdef.css"):
        answer = client.request("GET", path, headers=HTML)
        assert answer.status == 404, path
        assert is_page(answer), path
        head = client.request("HEAD", path, headers=HTML)
        assert (head.status, head.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
        assert (head.data, head.headers["Content-Length"]) == (b"", str(len(answer.data)))
        for accept in (
            "*/*",
            "application/json",
            "application/json, text/html;q=0.9",
            "text/html;q=0",
            "text/css",
        ):
            json = client.request("GET", path, headers={"Accept": accept})
            assert (json.status, json.json()) == (404, {"error": "no such path"}), accept


def test_a_refusal_outside_the_api_is_a_page_for_a_browser(client: Client) -> None:
    for method, path, status in (
        ("POST", "/", 405),
        ("DELETE", "/docs", 405),
        ("GET", f"/{'x' * 8200}", 414),
    ):
        answer = client.request(method, path, headers=HTML)
        assert answer.status == status
        assert is_page(answer)
    assert "GET" in client.request("POST", "/", headers=HTML).headers["Allow"].split(", ")
    assert is_page(client.request("GET", "/?since=yesterday", headers=HTML))


def test_a_refusal_of_the_api_is_json_in_a_browser_too(client: Client) -> None:
    for method, path, status in (
        ("GET", "/api/aggregated_stats?since=x", 400),
        ("GET", "/api/post_stats", 405),
        ("POST", "/api/post_stats", 403),
        ("POST", "//api/regions/", 405),
        ("GET", f"/api/regions?x={'x' * 8200}", 414),
    ):
        answer = client.request(method, path, headers=HTML)
        assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json")
        assert answer.json().keys() == {"error"}


def test_a_query_with_an_empty_parameter_is_redirected_to_the_url_in_brief(board: Client) -> None:
    for query, location in (
        ("region=&window=24h&job_type=transcoding&show=", "/"),
        ("region=fra&show=", "/?region=FRA"),
        ("job_type=ai&region=&pipeline=text-to-image&model=&window=7d&show=",
         "/?job_type=ai&pipeline=text-to-image&window=7d"),
        ("since=1&until=&window=&show=", "/?since=1"),
        ("since=1&until=&window=7d&show=", "/?window=7d"),
        ("sort=best&order=asc&show=", "/?sort=best&order=asc"),
        ("min_results=0&search=&job_type=transcoding&show=", "/"),
    ):  # fmt: skip
        for method in ("GET", "HEAD"):
            answer = board.request(method, f"/?{query}")
            assert (answer.status, answer.headers["Location"]) == (303, location)
            assert answer.headers["Cache-Control"] == "no-store"
        assert board.request("GET", location).status == 200
    assert board.request("GET", "/?region=&window=never&show=").status == 400


def test_an_endpoint_of_the_api_never_redirects(board: Client) -> None:
    for endpoint in (each for each in ROUTES if not each.never_ends):
        path = f"{endpoint.example_path}/?orchestrator={ORCHESTRATOR}&region=&show=&model="
        is_refused = 405 if endpoint.method == "POST" else 404 if endpoint.bearer else 400
        assert board.request("GET", path, headers=HTML).status in (200, is_refused)


def test_posting_to_the_page_is_405(client: Client) -> None:
    answer = client.request("POST", "/")
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]
