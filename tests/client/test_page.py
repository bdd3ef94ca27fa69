"""docs/client.md names everything that the package exports, and runs every example."""

import inspect
import re

import pytest

import orchboard.client
from orchboard.client import AsyncClient, Client, ClientError
from tests.connect.pages import DIRECTORY, sessions

PAGE = DIRECTORY.with_name("client.md").read_text("utf-8")
METHODS = [name for name in dir(Client) if not name.startswith("_") and name != "close"]


def test_both_clients_have_the_same_methods() -> None:
    assert [name for name in dir(AsyncClient) if not name.startswith("_") and name != "aclose"] == METHODS


@pytest.mark.parametrize("method", METHODS)
def test_the_page_has_each_method_with_its_parameters(method: str) -> None:
    row, *_ = re.findall(rf"^\| `{method}\((.*?)\)` \|", PAGE, re.MULTILINE)
    documented = [one.split("=")[0].strip() for one in re.sub(r"\(.*?\)", "", row).split(",") if one]
    parameters = list(inspect.signature(getattr(Client, method)).parameters)
    assert documented == [one for one in parameters if one not in ("self", "timeout")]


@pytest.mark.parametrize("parameter", [one for one in inspect.signature(Client).parameters if one != "self"])
def test_the_page_has_each_parameter_of_the_constructor(parameter: str) -> None:
    assert re.search(rf"^\| `{parameter}` \|", PAGE, re.MULTILINE)


def test_the_page_has_each_error_and_its_attributes() -> None:
    errors = [getattr(orchboard.client, name) for name in orchboard.client.__all__ if name.endswith("Error")]
    assert set(ClientError.__subclasses__()) | {ClientError} == set(errors)
    names = {error.__name__ for error in errors}
    names |= {name for error in errors for name in vars(error).get("__annotations__", {})}
    assert not [name for name in names if f"`{name}`" not in PAGE]


def test_every_example_of_the_page_is_run() -> None:
    programs = re.findall(r"^```python\n# (\w+\.py): ", PAGE, re.MULTILINE)
    assert len(programs) == PAGE.count("```python")
    blocks = [
        block for session in sessions() for block in session if block.location.startswith("docs/client.md")
    ]
    commands = [command.line for block in blocks for command in block.commands]
    assert {f"python3 {program}" for program in programs} <= set(commands)
