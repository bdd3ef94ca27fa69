"""The document tells the truth: about the routes, their parameters, what they answer and what they refuse."""

import ast
import json
import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from msgspec.structs import replace
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import validate

import orchboard.api
from orchboard.answers.origin import ORIGIN
from orchboard.api.authenticator import CREDENTIALS
from orchboard.api.endpoint import Endpoint
from orchboard.api.params import Params
from orchboard.api.refusals import STATUS
from orchboard.api.routes import ROUTES
from orchboard.apidocs.curl import curl
from orchboard.apidocs.openapi import openapi_json
from orchboard.apidocs.page import api_markdown
from orchboard.app import create_app
from orchboard.config import SETTINGS, Setting, Settings
from orchboard.errors import DatabaseUnavailableError
from orchboard.http.application import ApiRoute, Application
from tests.support.server import SECRET, Client, StartServer

ROOT = Path(__file__).parents[2]

DOCUMENT = json.loads(openapi_json())
READS = [endpoint for endpoint in ROUTES if endpoint.method == "GET" and not endpoint.bearer]
EACH_ENDPOINT = pytest.mark.parametrize("endpoint", ROUTES, ids=lambda endpoint: endpoint.name)


def operation(endpoint: Endpoint) -> dict[str, Any]:
    """What the document says about an endpoint."""
    told: dict[str, Any] = DOCUMENT["paths"][endpoint.path][endpoint.method.lower()]
    return told


def resolved(part: dict[str, Any]) -> dict[str, Any]:
    """A part of the document, or the one it refers to."""
    found: dict[str, Any] = DOCUMENT
    if "$ref" not in part:
        return part
    for step in part["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


def schema_errors(value: Any, schema: dict[str, Any], *, closed: bool = False) -> list[str]:
    """What is wrong with a value. Closed: members that the schema does not name are wrong too."""
    schemas = DOCUMENT["components"]["schemas"]
    if closed:
        schemas = {
            name: part | {"additionalProperties": False} if "properties" in part else part
            for name, part in schemas.items()
        }
    whole = schema | {"components": {"schemas": schemas}}
    return [error.message for error in OAS31Validator(whole).iter_errors(value)]


def answer_schema(endpoint: Endpoint, status: int) -> dict[str, Any]:
    """The schema of an answer's body."""
    responses = operation(endpoint)["responses"]
    response = resolved(responses.get(str(status), responses["default"]))
    (content,) = response["content"].values()
    schema: dict[str, Any] = content["schema"]
    return schema


def asked_path(endpoint: Endpoint) -> str:
    """The path and query of the documented example request."""
    return curl(endpoint).split()[-1].strip("'").removeprefix(ORIGIN)


@pytest.fixture
def example_client(client: Client) -> Client:
    """A client of a server that holds the documented example results."""
    for endpoint in ROUTES:
        for body in endpoint.bodies.values():
            assert client.post_stats(dict(body)).data == b"ok"
    return client


def test_the_document_is_valid_openapi_3_1() -> None:
    validate(json.loads(openapi_json()))
    assert DOCUMENT["openapi"].startswith("3.1.")


def test_version_licence_and_summary_are_the_packages() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    info = DOCUMENT["info"]
    assert (info["version"], info["license"]["identifier"], info["summary"]) == (
        project["version"],
        project["license"],
        project["description"],
    )


def test_every_route_of_the_app_is_documented_and_no_other(settings: Settings) -> None:
    app = create_app(settings)
    assert isinstance(app, Application)
    routed = {
        (route.path, method)
        for route in app._router.routes
        if isinstance(route, ApiRoute)
        for method in route.methods or ()
    }
    documented = {
        (path, method.upper())
        for path, item in DOCUMENT["paths"].items()
        for method in item
        if method != "parameters"
    }
    assert documented == routed


def test_every_parameter_asked_for_is_documented_and_every_documented_one_asked_for(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: set[str] = set()
    get = Params.get

    def noted(self: Params, name: str) -> str:
        asked.add(name)
        return get(self, name)

    monkeypatch.setattr(Params, "get", noted)
    for endpoint in (read for read in READS if not read.never_ends):
        asked.clear()
        told = {
            part["name"]: part.get("example")  # no cursor is valid with all other examples
            for part in DOCUMENT["paths"][endpoint.path].get("parameters", [])
            if part["in"] == "query"
        }
        for left_out in ({"window"}, {"since", "until"}):  # which exclude each other
            params = {name: value for name, value in told.items() if value and name not in left_out}
            assert client.get(endpoint.example_path, **params).status == 200
        client.get(endpoint.example_path)
        assert (endpoint.name, asked) == (endpoint.name, set(told))


def test_every_parameter_and_header_named_in_the_source_is_documented() -> None:
    api = Path(orchboard.api.__file__).parent
    sources = [
        *api.glob("*.py"),
        *(api.parent / "http").glob("*.py"),
        *(api.parent / "apidocs").glob("*.py"),
        api.parent / "answers/origin.py",
    ]
    named = {name for path in sources for name in _names_asked_for(ast.parse(path.read_text()))}
    named |= {name.decode() for name in CREDENTIALS}
    documented = {param.name.lower() for endpoint in ROUTES for param in endpoint.params}
    assert named >= {"since", "orchestrator", "idempotency-key"}, "the search finds nothing any more"
    # Announced or set by every client, whatever it asks.
    assert named - documented == {"content-encoding", "content-length", "expect", "host", "x-forwarded-proto"}


def _names_asked_for(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Name(id="params" | "self") | ast.Attribute(attr="headers"), attr="get"
                ),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_every_setting_is_in_the_settings_table(setting: Setting) -> None:
    assert f"\n`{setting.name}` | " in (ROOT / "docs/api.md").read_text()


def test_every_setting_is_read_somewhere() -> None:
    sources = (ROOT / "src").rglob("*.py")
    read = {
        node.attr
        for path in sources
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "settings"
    }
    assert {setting.name for setting in SETTINGS if setting.field not in read} == set()


def test_the_committed_documents_are_the_generated_ones() -> None:
    assert (ROOT / "docs/openapi.json").read_bytes() == openapi_json(), "stale: run `make docs`"
    assert (ROOT / "docs/api.md").read_text() == api_markdown(), "stale: run `make docs`"


def test_every_member_of_every_schema_is_described() -> None:
    silent = [
        f"{name}.{member}"
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for member, part in schema.get("properties", {}).items()
        if not part.get("description")
    ]
    assert silent == []
    assert all(schema["description"] for schema in DOCUMENT["components"]["schemas"].values())


@EACH_ENDPOINT
def test_stored_examples_are_valid_against_their_schemas(endpoint: Endpoint) -> None:
    for response in map(resolved, operation(endpoint)["responses"].values()):
        for content in response["content"].values():
            assert schema_errors(content["example"], content["schema"]) == []
    for content in operation(endpoint).get("requestBody", {}).get("content", {}).values():
        for example in content["examples"].values():
            assert schema_errors(example["value"], content["schema"]) == []


def without_times(value: Any) -> Any:
    """A JSON value with the same word for each time and age."""
    if isinstance(value, dict):
        ages = value.get("newest_age_s")
        known = {**value, "newest_age_s": dict.fromkeys(ages, "an age")} if ages else value
        return {name: without_times(member) for name, member in known.items()}
    if isinstance(value, list):
        return [without_times(item) for item in value]
    return "a time" if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", value) else value


def test_the_example_requests_get_the_example_answers(example_client: Client) -> None:
    for endpoint in READS:
        answer = example_client.get(asked_path(endpoint))
        (content,) = operation(endpoint)["responses"]["200"]["content"].values()
        example = content["example"]
        if endpoint.never_ends:
            ids_and_times = r'(?<=id: )[^\n]+|(?<="received_at":")[^"]+|(?<="id":)\d+'
            got_text, told_text = (
                re.sub(ids_and_times, "", text) for text in (answer.data.decode(), example)
            )
            assert got_text == told_text
            continue
        if endpoint.media_type == "application/atom+xml":
            assert answer.data.decode() == example
            continue
        if isinstance(example, str):
            assert answer.data.decode().startswith(example), "the example is an extract"
            continue
        got = without_times(json.loads(answer.data, parse_float=lambda text: round(float(text), 9)))
        if endpoint.name == "regions":  # the example is an extract
            got = {"regions": [region for region in got["regions"] if region in example["regions"]]}
        assert (answer.status, got) == (200, without_times(example))


def test_real_answers_are_valid_against_their_schemas(example_client: Client) -> None:
    for endpoint in (read for read in READS if read.media_type == "application/json"):
        for asked in ("", "&job_type=transcoding", "&job_type=ai", "&orchestrator=0xnobody"):
            path = asked_path(endpoint) if not asked else f"{endpoint.example_path}?{asked}"
            answer = example_client.get(path)
            closed = endpoint.name != "raw_stats"  # rows keep members of the tester's own
            assert schema_errors(answer.json(), answer_schema(endpoint, answer.status), closed=closed) == []


def test_an_answer_with_a_surprise_in_it_is_found_invalid() -> None:
    (aggregated,) = (e for e in ROUTES if e.name == "aggregated_stats")
    schema = answer_schema(aggregated, 200)
    good = {"success_rate": 1.0, "round_trip_score": 0.5, "score": 0.5}
    assert schema_errors({"0x1": {"FRA": good}}, schema, closed=True) == []
    for surprise in ({"score": None}, {"note": "text"}):
        assert schema_errors({"0x1": {"FRA": good | surprise}}, schema)
    assert schema_errors({"0x1": {"FRA": good | {"more": 1}}}, schema, closed=True)


def test_documented_headers_are_sent(client: Client) -> None:
    for endpoint in READS:
        told = operation(endpoint)["responses"]["200"].get("headers", {})
        kept = resolved(told["Cache-Control"])["example"] if told else "no-store"
        method = "HEAD" if endpoint.never_ends else "GET"
        assert client.request(method, asked_path(endpoint)).headers["Cache-Control"] == kept


def test_bad_questions_are_refused_as_documented(client: Client) -> None:
    bad = {
        "aggregated_stats": "?model=m",
        "raw_stats": "",
        "pipelines": "?since=yesterday",
        "top_ai_score": "?orchestrator=%00",
        "uptime": "?cells=many",
        "badge": "?metric=colour",
        "badge_json": "?metric=colour",
        "chart": "?width=wide",
    }
    refusing = [endpoint for endpoint in READS if "400" in operation(endpoint)["responses"]]
    for endpoint in refusing:
        answer = client.get(endpoint.example_path + bad.get(endpoint.name, "?window=2w"))
        content = operation(endpoint)["responses"]["400"]["content"]
        assert (answer.status, answer.json()) == (400, content["application/json"]["example"])


def test_bad_posts_are_refused_as_documented(client: Client) -> None:
    (endpoint,) = (e for e in ROUTES if e.name == "post_stats")
    body = dict(next(iter(endpoint.bodies.values())))
    answers = [
        client.post_stats(body | {"region": "NOWHERE"}),
        client.post_stats(body, secret="another"),
        client.post(bytes(16 * 1024 * 1024 + 1)),
        *(client.post_stats(body | {"timestamp": n}, key="same") for n in (1, 2)),
    ]
    responses = operation(endpoint)["responses"]
    assert [answer.status for answer in answers] == [400, 403, 413, 200, 422]
    for answer in answers:
        if answer.status != 200:
            (content,) = responses[str(answer.status)]["content"].values()
            assert answer.json() == content["example"]


def test_an_unavailable_database_is_answered_as_documented(
    settings: Settings, start_server: StartServer
) -> None:
    nowhere = replace(
        settings, postgres="postgres://nobody@127.0.0.1:1/none", db_timeout_s=0.3, cron_secret="scheduler"
    )
    url = start_server(nowhere).url
    token = {"Authorization": "Bearer scheduler"}
    http = urllib3.PoolManager(retries=False, timeout=30)
    for endpoint in ROUTES:
        if endpoint.method == "GET" and DatabaseUnavailableError in endpoint.refusals:
            answer = http.request("GET", url + asked_path(endpoint), headers=token if endpoint.bearer else {})
            response = operation(endpoint)["responses"]["503"]
            assert answer.status == 503
            assert schema_errors(answer.json(), answer_schema(endpoint, 503), closed=True) == []
            assert answer.headers["Retry-After"] == str(
                resolved(response["headers"]["Retry-After"])["example"]
            )


@EACH_ENDPOINT
def test_refusals_are_documented_under_their_status(endpoint: Endpoint) -> None:
    statuses = {str(STATUS[refusal]) for refusal in endpoint.refusals}
    assert set(operation(endpoint)["responses"]) == {"200", "default"} | statuses


def test_unknown_paths_and_methods_answer_the_default_response(client: Client) -> None:
    schema = resolved(operation(ROUTES[0])["responses"]["default"])["content"]["application/json"]["schema"]
    for answer in (client.get("/api/nothing"), client.request("DELETE", "/api/regions")):
        assert schema_errors(answer.json(), schema, closed=True) == []


def test_the_pasted_lines_work_in_a_shell(settings: Settings, start_server: StartServer) -> None:
    server = start_server(replace(settings, cron_secret="scheduler"))
    for endpoint in ROUTES:
        lines = curl(endpoint).replace(ORIGIN, server.url)
        done = subprocess.run(
            ["sh", "-c", lines],
            env={**os.environ, "SECRET": SECRET, "CRON_SECRET": "scheduler"},
            capture_output=True,
            timeout=20,
            check=True,
        )
        (content,) = operation(endpoint)["responses"]["200"]["content"].values()
        if endpoint.never_ends:
            assert done.stdout.count(b"\ndata: ") == 1
        elif isinstance(content["example"], str):
            assert done.stdout.decode().startswith(content["example"])
        else:
            assert schema_errors(json.loads(done.stdout), content["schema"]) == []
