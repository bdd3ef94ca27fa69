"""A package that is missing is named by the extra that brings it."""

import re
import tomllib
from pathlib import Path

import pytest

from orchboard.cli.extras import MODULES, explain_missing

EXTRAS = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("extra", MODULES)
def test_every_package_of_an_extra_leads_to_it(extra: str) -> None:
    names = [re.match(r"[\w-]+", requirement) for requirement in EXTRAS[extra] if "[" not in requirement]
    assert names
    for name in names:
        assert name is not None
        said = explain_missing(ModuleNotFoundError(name=f"{name[0]}.part"), ["serve"])
        assert said and said.startswith("`orchboard serve` needs ") and f"'orchboard[{extra}]'" in said


def test_a_module_of_no_extra_is_no_setup_error() -> None:
    assert explain_missing(ModuleNotFoundError(name="orchboard.nonsense"), ["serve"]) is None
    assert explain_missing(ModuleNotFoundError(), []) is None
