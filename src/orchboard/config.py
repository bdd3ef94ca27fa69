"""Settings: the table of environment variables, with defaults and units, and the reader that parses them once at start."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from orchboard import limits
from orchboard import setting_parsers as parsers
from orchboard.coordinates import Coordinates
from orchboard.errors import SetupError
from orchboard.signing import strength


class Settings(Struct, frozen=True, kw_only=True):
    """The parsed settings. Each row of SETTINGS describes one field."""

    postgres: str
    postgres_file: str
    postgres_read: str
    postgres_read_file: str
    secret: str
    secret_file: str
    secret_previous: str
    secret_previous_file: str
    require_timestamped_signatures: bool
    cron_secret: str
    start_time_window: timedelta
    db_timeout_s: float
    orchestrator_names: str
    log_level: str
    regions_cache_s: float
    pipelines_cache_s: float
    reports_cache_s: float
    catalyst_region_url: str
    names_url: str
    region_coordinates: Mapping[str, Coordinates | None]
    host: str
    port: int
    workers: int
    orchboard_data: str
    postgres_bin: str
    max_body_bytes: int
    body_memory_bytes: int
    max_connections: int
    keep_alive_s: float
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...]
    db_connections: int
    answer_cache_bytes: int
    spool_max_bytes: int
    retention: timedelta | None
    rollup_retention: timedelta | None
    fast_path: bool
    orchestrator_metrics: bool
    status_page: bool
    orchboard_url: str
    orchboard_tester: str
    orchboard_command: str

    @property
    def prunes(self) -> bool:
        """Whether the server deletes old results or rollups."""
        return self.retention is not None or self.rollup_retention is not None


class Setting(Struct, frozen=True):
    """A row of SETTINGS.

    name -- the environment variable
    field -- the field of Settings that holds its value
    default -- the text that is parsed when the variable is not set
    unit -- shown in the documentation; empty for text
    parse -- a parser of setting_parsers.py
    help -- shown in the documentation
    old_name -- an earlier name of the variable, which still works; `name` takes precedence
    """

    name: str
    field: str
    default: str
    unit: str
    parse: Callable[[str], Any]
    help: str
    old_name: str = ""


# The settings that hold keys for signing results.
SECRETS = ("SECRET", "SECRET_PREVIOUS")

SETTINGS: tuple[Setting, ...] = (
    Setting("POSTGRES", "postgres", "", "URL", parsers.postgres_url,
            "URL of the database, PostgreSQL 15 or newer, as libpq reads it. Several hosts, TLS and a transaction-mode pooler are supported. "
            "Not set: the embedded database."),
    Setting("POSTGRES_FILE", "postgres_file", "", "file", parsers.text,
            "A file that contains POSTGRES, read at the start. It keeps the password out of the environment."),
    Setting("POSTGRES_READ", "postgres_read", "", "URL", parsers.postgres_url,
            "URL of one or several streaming standbys of POSTGRES, which answer questions. Each worker reads from one of them. The primary answers when none can. Not set: POSTGRES answers."),
    Setting("POSTGRES_READ_FILE", "postgres_read_file", "", "file", parsers.text,
            "A file that contains POSTGRES_READ, read at the start."),
    Setting("SECRET", "secret", "", "text", parsers.secret,
            "The key that job testers sign results with. Not set: only testers with their own keys may post."),
    Setting("SECRET_FILE", "secret_file", "", "file", parsers.text,
            "A file that contains SECRET, read at the start."),
    Setting("SECRET_PREVIOUS", "secret_previous", "", "text", parsers.secret,
            "A second key, accepted beside SECRET while testers change to the new one."),
    Setting("SECRET_PREVIOUS_FILE", "secret_previous_file", "", "file", parsers.text,
            "A file that contains SECRET_PREVIOUS, read at the start."),
    Setting("REQUIRE_TIMESTAMPED_SIGNATURES", "require_timestamped_signatures", "off", "", parsers.on_or_off,
            "on: results must have a Standard Webhooks signature, which cannot be replayed. The bare signature of today's testers is refused."),
    Setting("CRON_SECRET", "cron_secret", "", "text", parsers.text,
            "Bearer token for a scheduler that calls /api/upkeep, such as Vercel's. Not set: that path is 404."),
    Setting("START_TIME_WINDOW", "start_time_window", "24", "hours", parsers.hours,
            "Length of the window when a request has neither since nor until. For example 24, 24h or 90m."),
    Setting("DB_TIMEOUT", "db_timeout_s", "20", "seconds", parsers.seconds,
            "How long a request may wait for the database before it is answered 503."),
    Setting("ORCHESTRATOR_NAMES", "orchestrator_names", "address", "", parsers.orchestrator_names,
            "Which orchestrators have scores. address: those named by an Ethereum address. any: all, for other networks and tests. "
            "Results of others are stored and returned by raw_stats."),
    Setting("LOG_LEVEL", "log_level", "info", "", parsers.log_level,
            "trace, debug, info, warn or error. Requests are logged at info."),
    Setting("REGIONS_CACHE_TIMEOUT", "regions_cache_s", "60", "seconds", parsers.seconds,
            "Maximum age of the list of regions that results are checked against (/api/regions is at most 1 s old). Also the interval at which CATALYST_REGION_URL and NAMES_URL are fetched."),
    Setting("PIPELINES_CACHE_TIMEOUT", "pipelines_cache_s", "60", "seconds", parsers.seconds,
            "Maximum age of a cached answer of /api/pipelines. A new AI result invalidates it at once; an answer over a window that ends now expires after 10 s."),
    Setting("REPORTS_CACHE_TIMEOUT", "reports_cache_s", "0.8", "seconds", parsers.seconds_or_zero,
            "How long a report (leaderboard, history, uptime, errors, orchestrators, compare, coverage, badge, chart) is repeated although newer results have arrived. It bounds the work for a report that many ask for. 0: each answer has every result."),
    Setting("CATALYST_REGION_URL", "catalyst_region_url", "", "URL", parsers.http_url,
            "A Catalyst document whose regions are added to the transcoding regions. Fetched in the background."),
    Setting("NAMES_URL", "names_url", "", "URL", parsers.http_url,
            "Names of orchestrators, which are shown beside their addresses: a CSV document with the columns address and name, or a JSON object {address: name}. "
            "Fetched in the background. A name that `orchboard orchestrator name` has set takes precedence."),
    Setting("REGION_COORDINATES_FILE", "region_coordinates", "", "file", parsers.coordinates_file,
            "A CSV file with the columns id, latitude and longitude (decimal degrees): where regions are on the map of the pages, beside those of a new database. Read at the start."),
    Setting("HOST", "host", "127.0.0.1", "address", parsers.text,
            "Address to listen on; 0.0.0.0 for all."),
    Setting("PORT", "port", "8080", "", parsers.between(0, 65535),
            "TCP port to listen on; 0 selects a free one."),
    Setting("WORKERS", "workers", "1", "processes", parsers.between(1, 64),
            "Number of server processes. One worker stores as many results as two; more serve more readers."),
    Setting("ORCHBOARD_DATA", "orchboard_data", "", "directory", parsers.text,
            "Directory of the embedded database and the spool. Not set: the user's data directory of the system."),
    Setting("POSTGRES_BIN", "postgres_bin", "", "directory", parsers.text,
            "Directory of the programs for the embedded database (pg_config --bindir of PostgreSQL 15 or newer). Not set: those installed with orchboard."),
    Setting("MAX_BODY_MB", "max_body_bytes", "16", "MiB", parsers.mebibytes,
            "Maximum size of a request body."),
    Setting("BODY_MEMORY_MB", "body_memory_bytes", "128", "MiB", parsers.mebibytes,
            "Memory of each worker for requests that are being received or processed; at least twice MAX_BODY_MB is used. Addresses that have not posted a signed result since the start may use a quarter of it. Requests beyond it are answered 429 or 503."),
    Setting("MAX_CONNECTIONS", "max_connections", "4096", "connections", parsers.between(1, 1_000_000),
            "Maximum number of client connections of each worker; fewer if the limit of open files is lower. Beyond it, a connection that waits for its client is closed, first those of the address with the most, or the newest is answered 503. One eighth is reserved for addresses that have posted a signed result."),
    Setting("KEEP_ALIVE_TIMEOUT", "keep_alive_s", "95", "seconds", parsers.seconds,
            "How long an idle connection is kept open. Must be longer than the idle timeout of a proxy or load balancer in front (60 s for nginx and AWS, 90 s for Go), otherwise a request that is sent while the server closes the connection is lost."),
    Setting("TRUSTED_PROXIES", "trusted_proxies", "", "addresses", parsers.networks,
            "Proxies whose X-Forwarded-For is trusted: addresses and networks, separated by commas. Not set: none."),
    Setting("DB_CONNECTIONS", "db_connections", "10", "connections", parsers.between(1, 1000),
            "Maximum number of connections to the database in each worker's pool."),
    Setting("ANSWER_CACHE_MB", "answer_cache_bytes", "5", "MiB", parsers.mebibytes,
            "Memory of each worker for cached answers."),
    Setting("RETENTION_DAYS", "retention", "0", "days", parsers.days_or_forever,
            "Results are deleted after this many days, at least 8, once their rollups are built and verified. Rollups stay, so long windows are answered as before. 0: never."),
    Setting("ROLLUP_RETENTION_DAYS", "rollup_retention", "0", "days", parsers.days_or_forever,
            "Rollups of six hours are deleted after this many days, where results are not kept. Those of days and months stay. 0: never."),
    Setting("SPOOL_MAX_MB", "spool_max_bytes", "256", "MiB", parsers.mebibytes_or_zero,
            "Maximum size of the spool in ORCHBOARD_DATA, for results that are acknowledged while the database is away, also with POSTGRES. Beyond it posts are answered 503. 0: no spool; such results are refused."),
    Setting("FAST_PATH", "fast_path", "on", "", parsers.on_or_off,
            "Answers reads and posts without the ASGI stack where possible; leave on unless debugging.", "SHORT_WAY"),
    Setting("ORCHESTRATOR_METRICS", "orchestrator_metrics", "off", "", parsers.on_or_off,
            "on: /metrics has the latest transcoding result of each orchestrator and region within START_TIME_WINDOW, under the names of livepeer-exporter: five series for each pair."),
    Setting("STATUS_PAGE", "status_page", "off", "", parsers.on_or_off,
            "on: the page /status shows the condition of the server, and what to do about each thing that is not well. It has no secrets and no addresses of clients, but names tables, roles and testers. off: that path is 404."),
    Setting("ORCHBOARD_URL", "orchboard_url", "http://127.0.0.1:8080", "URL", parsers.text,
            "The server that `post`, `get`, `diff` and `simulate live` connect to, unless an argument names another."),
    Setting("ORCHBOARD_TESTER", "orchboard_tester", "", "name", parsers.text,
            "Name of the tester that `post` sends as; SECRET is then the key that `orchboard tester add` printed."),
    Setting("ORCHBOARD_COMMAND", "orchboard_command", "", "command", parsers.text,
            "How users run orchboard on this installation, such as `docker exec NAME orchboard`. The start message shows it. Not set: the program's path and the settings it needs."),
)  # fmt: skip


# Defaults in a serverless function, where they differ: a request is answered within a tester's 8 s, a body fits into
# Vercel's 4.5 MB, requests come through a proxy on the same host, instances share a pooler's connections, and the fast
# path needs our own HTTP server.
SERVERLESS_DEFAULTS = {
    "DB_TIMEOUT": "6",
    "MAX_BODY_MB": "4",
    "TRUSTED_PROXIES": "127.0.0.1",
    "DB_CONNECTIONS": "3",
    "FAST_PATH": "off",
}


def read_settings(environ: Mapping[str, str], *, defaults: Mapping[str, str] | None = None) -> Settings:
    """Parse the settings in an environment. An empty variable counts as not set.

    The value of `NAME_FILE`'s file is in the field of `NAME`.

    defaults -- override the defaults of SETTINGS, by variable
    Raises SetupError with the name of the invalid variable and the expected form. The message does not contain the
    value, which may be a secret.
    """
    fields: dict[str, Any] = {}
    for setting in SETTINGS:
        default = (defaults or {}).get(setting.name, setting.default)
        names = [name for name in (setting.name, setting.old_name) if environ.get(name, "").strip()]
        name = names[0] if names else setting.name
        try:
            fields[setting.field] = setting.parse(environ.get(name, "").strip() or default)
        except ValueError as error:
            raise SetupError(f"{name} can't be read: it must be {error}") from None
    settings = Settings(**fields)
    return replace(
        settings,
        postgres=_value_or_file("POSTGRES", settings.postgres, settings.postgres_file, parsers.postgres_url),
        postgres_read=_value_or_file(
            "POSTGRES_READ", settings.postgres_read, settings.postgres_read_file, parsers.postgres_url
        ),
        secret=_value_or_file("SECRET", settings.secret, settings.secret_file, parsers.secret),
        secret_previous=_value_or_file(
            "SECRET_PREVIOUS", settings.secret_previous, settings.secret_previous_file, parsers.secret
        ),
    )


READ_WITHOUT_POSTGRES = (
    "POSTGRES_READ is set without POSTGRES: set POSTGRES to the primary of those standbys, or take it away"
)


def accepted_secrets(settings: Settings) -> tuple[str, ...]:
    """The shared keys that results may be signed with. Empty without SECRET, even if SECRET_PREVIOUS is set."""
    return tuple(filter(None, (settings.secret, settings.secret_previous))) if settings.secret else ()


def weak_secrets(settings: Settings) -> tuple[str, ...]:
    """The names of the secrets that are set and shorter than MIN_SECRET_BYTES."""
    values = {name: getattr(settings, name.lower()) for name in SECRETS}
    return tuple(
        name for name, value in values.items() if value and strength(value) < limits.MIN_SECRET_BYTES
    )


def _value_or_file(name: str, value: str, file: str, parse: Callable[[str], str]) -> str:
    """The value of a setting, or the content of its file without surrounding white space."""
    if not file:
        return value
    if value:
        raise SetupError(f"{name} and {name}_FILE are both set: take one of them away")
    try:
        content = Path(file).read_text("utf-8-sig").strip()  # some editors write a byte order mark
    except OSError as error:
        raise SetupError(f"{name}_FILE can't be read: {file}: {error.strerror}") from None
    except ValueError:
        raise SetupError(f"{name}_FILE can't be read: {file} is no text in UTF-8") from None
    if not content or "\0" in content:
        raise SetupError(
            f"{name}_FILE can't be read: {file} {'holds a zero byte' if content else 'is empty'}"
        )
    try:
        return parse(content)
    except ValueError as error:
        raise SetupError(f"{name}_FILE can't be read: it must hold {error}") from None


assert {setting.field for setting in SETTINGS} == set(Settings.__struct_fields__)  # noqa: S101 - one row per field
