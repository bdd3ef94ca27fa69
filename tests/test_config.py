"""Settings from the environment."""

from datetime import timedelta
from pathlib import Path

import pytest

from orchboard.config import SETTINGS, accepted_secrets, read_settings, weak_secrets
from orchboard.errors import SetupError


def test_an_empty_environment_gives_the_documented_defaults() -> None:
    settings = read_settings({})
    assert settings.start_time_window == timedelta(hours=24)
    assert (settings.db_timeout_s, settings.port, settings.log_level) == (20.0, 8080, "info")


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read_settings({"PORT": "", "SECRET": ""}) == read_settings({})


def test_a_secret_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "now").write_text("a secret of the file \n")
    (tmp_path / "before").write_text("another\r\n")
    files = {"SECRET_FILE": str(tmp_path / "now"), "SECRET_PREVIOUS_FILE": str(tmp_path / "before")}
    assert accepted_secrets(read_settings(files)) == ("a secret of the file", "another")


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
     ("CATALYST_REGION_URL", "ftp://x"), ("NAMES_URL", "names.csv"), ("MAX_BODY_MB", "0"), ("SECRET", "whsec_!"), ("REQUIRE_TIMESTAMPED_SIGNATURES", "yes"), ("WORKERS", "0"), ("DB_CONNECTIONS", "1.5")],
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


def test_every_setting_has_a_help_text() -> None:
    assert all(setting.help.endswith(".") for setting in SETTINGS)


def test_secret_previous_alone_accepts_no_signature() -> None:
    assert accepted_secrets(read_settings({"SECRET_PREVIOUS": "x"})) == ()


@pytest.mark.parametrize("name", ["SECRET", "SECRET_PREVIOUS"])
def test_a_secret_given_twice_is_refused_by_both_names(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("hunter2")
    with pytest.raises(SetupError, match=f"^{name} and {name}_FILE are both set") as refused:
        read_settings({name: "hunter3", f"{name}_FILE": str(tmp_path / "file")})
    assert "hunter" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "is empty"), (b" \n", "is empty"), (b"a\0b", "holds a zero byte"), (b"\xff", "is no text in UTF-8"),
     (b"whsec_?", "must hold base64 behind whsec_"), (None, "No such file or directory")],
)  # fmt: skip
def test_a_file_that_holds_no_secret_is_refused_by_its_name(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(SetupError, match=rf"^SECRET_FILE can't be read: .*{words}"):
        read_settings({"SECRET_FILE": str(file)})


def test_postgres_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("postgresql://user:password@host/board\n")
    assert read_settings({"POSTGRES_FILE": str(file)}).postgres == "postgresql://user:password@host/board"
    with pytest.raises(SetupError, match="POSTGRES and POSTGRES_FILE are both set"):
        read_settings({"POSTGRES_FILE": str(file), "POSTGRES": "postgresql:///other"})
    file.write_text("mysql://user:password@host/board")
    with pytest.raises(SetupError, match="^POSTGRES_FILE can't be read: it must hold") as refused:
        read_settings({"POSTGRES_FILE": str(file)})
    assert "password" not in str(refused.value)


def test_a_byte_order_mark_is_no_part_of_a_secret(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xef\xbb\xbfhunter2\r\n")
    assert read_settings({"SECRET_FILE": str(tmp_path / "file")}).secret == "hunter2"


def test_short_secrets_are_named() -> None:
    long, short = "x" * 16, "whsec_" + "A" * 20
    assert weak_secrets(read_settings({"SECRET": long})) == ()
    assert weak_secrets(read_settings({"SECRET": long, "SECRET_PREVIOUS": short})) == ("SECRET_PREVIOUS",)


def test_the_old_name_of_a_setting_works_unless_the_new_one_is_set() -> None:
    renamed = {setting.old_name: setting.name for setting in SETTINGS if setting.old_name}
    assert renamed == {"SHORT_WAY": "FAST_PATH"}
    assert read_settings({}).fast_path is True
    assert read_settings({"SHORT_WAY": "off"}).fast_path is False
    assert read_settings({"SHORT_WAY": "off", "FAST_PATH": "on"}).fast_path is True
    with pytest.raises(SetupError, match="^SHORT_WAY can't be read"):
        read_settings({"SHORT_WAY": "maybe"})
