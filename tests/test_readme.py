"""README.md, docs/settings.md and docs/cli.md have a row for every endpoint, setting and command."""

import re
from pathlib import Path

import pytest

from orchboard.api.routes import ROUTES
from orchboard.cli import COMMANDS
from orchboard.config import SETTINGS

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
SETTINGS_PAGE = (ROOT / "docs/settings.md").read_text("utf-8")
COMMANDS_PAGE = (ROOT / "docs/cli.md").read_text("utf-8")


@pytest.mark.parametrize("endpoint", ROUTES, ids=lambda endpoint: str(endpoint.name))
def test_every_endpoint_is_in_the_table(endpoint: object) -> None:
    assert f"| `{endpoint.method} {endpoint.path}` |" in README  # type: ignore[attr-defined] # pytest's ids want object


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: str(setting.name))
def test_every_setting_is_in_the_table_with_its_default(setting: object) -> None:
    name, default = setting.name, setting.default  # type: ignore[attr-defined] # as above
    [row] = re.findall(rf"^\| `{name}` \| (.*?) \|", SETTINGS_PAGE, re.MULTILINE)
    assert not default or f"`{default}`" in row


def test_the_table_of_settings_names_nothing_else() -> None:
    assert set(re.findall(r"^\| `([A-Z_]+)` \|", SETTINGS_PAGE, re.MULTILINE)) == {
        setting.name for setting in SETTINGS
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_named(command: str) -> None:
    assert f"[`{command}`](#orchboard-{command})" in COMMANDS_PAGE
