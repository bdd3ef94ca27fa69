"""Settings from the environment."""

from datetime import timedelta

import pytest

from orchboard.config import SETTINGS, read_settings
from orchboard.errors import SetupError


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = read_settings({})
    assert settings.start_time_window == timedelta(hours=24)
    assert (settings.db_timeout_s, settings.port, settings.log_level) == (20.0, 8080, "info")


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read_settings({"PORT": "", "SECRET": ""}) == read_settings({})


@pytest.mark.parametrize(
    ("written", "meant"),
    [("24", timedelta(hours=24)), ("24h", timedelta(hours=24)), ("90m", timedelta(minutes=90)),
     ("1h30m", timedelta(minutes=90)), ("0.5", timedelta(minutes=30)), ("2d", timedelta(days=2))],
)  # fmt: skip
def test_a_window_is_written_in_hours_or_with_units(written: str, meant: timedelta) -> None:
    assert read_settings({"START_TIME_WINDOW": written}).start_time_window == meant


def test_a_bare_database_timeout_is_in_seconds() -> None:
    assert (
        read_settings({"DB_TIMEOUT": "20"}).db_timeout_s == read_settings({"DB_TIMEOUT": "20s"}).db_timeout_s
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [("START_TIME_WINDOW", "a day"), ("START_TIME_WINDOW", "-1"), ("START_TIME_WINDOW", "0"), ("DB_TIMEOUT", "5 6"),
     ("DB_TIMEOUT", "1h30"), ("PORT", "70000"), ("PORT", "http"), ("LOG_LEVEL", "loud"), ("POSTGRES", "localhost"),
     ("CATALYST_REGION_URL", "ftp://x"), ("MAX_BODY_MB", "0"), ("WORKERS", "0"), ("DB_CONNECTIONS", "1.5")],
)  # fmt: skip
def test_a_value_that_cant_be_read_names_its_variable(name: str, value: str) -> None:
    with pytest.raises(SetupError, match=rf"^{name} can't be read: it must be "):
        read_settings({name: value})


def test_a_value_that_may_be_a_secret_is_not_repeated() -> None:
    with pytest.raises(SetupError) as refused:
        read_settings({"POSTGRES": "mysql://me:hunter2@host/db"})
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize("level", ["TRACE", "Debug", "info", "WARN", "error"])
def test_log_levels_are_read_in_any_case(level: str) -> None:
    assert read_settings({"LOG_LEVEL": level}).log_level == level.lower()


def test_every_setting_says_what_it_is() -> None:
    assert all(setting.help.endswith(".") for setting in SETTINGS)
