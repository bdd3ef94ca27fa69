"""orchboard doctor"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from orchboard.client import Client
    from orchboard.config import Settings
    from orchboard.store.diagnostics import Finding

LOW_SPACE_BYTES = 1024**3
NO_SPACE_BYTES = 100 * 1024**2
PATIENCE_S = 10.0

_MARKS = {"ok": "✓", "warning": "!", "error": "✗"}


def doctor(*, json: Annotated[bool, Parameter(help="Print JSON.", negative="")] = False) -> int:
    """Report problems with the settings and the database.

    Checks every setting, the database and its contents, the data directory and the port, and prints one line for
    each: ✓ fine, ! a warning, ✗ an error that prevents the server from working. The remedy is on the next line.
    Changes nothing. The exit status is 1 when there is a ✗.

    **Examples**

    ```
    orchboard doctor
    POSTGRES=postgresql://… orchboard doctor --json
    ```
    """
    import os
    import sys

    from orchboard.cli.output import print_json, printable
    from orchboard.runtime.logs import configure_logs
    from orchboard.store.diagnostics import Level

    configure_logs("error")
    findings = []
    for finding in examine(os.environ):
        findings.append(finding)
        if not json:
            print(f"{_MARKS[finding.level]} {finding.about}: {printable(finding.message)}")
            if finding.remedy:
                print(f"    {finding.remedy}")
            sys.stdout.flush()
    is_well = all(finding.level is not Level.ERROR for finding in findings)
    if json:
        print_json({"ok": is_well, "findings": findings})
    return 0 if is_well else 1


def examine(environ: Mapping[str, str]) -> Iterator[Finding]:
    """What `orchboard doctor` says in an environment, one finding after another."""
    from orchboard.config import SETTINGS, read_settings
    from orchboard.errors import SetupError
    from orchboard.store.diagnostics import Finding, Level

    readable = dict(environ)
    for setting in SETTINGS:
        try:
            read_settings({setting.name: environ.get(setting.name, "")})
        except SetupError as error:
            del readable[setting.name]
            yield Finding(
                Level.ERROR, "settings", str(error), f"{setting.help} Default: {setting.default or 'none'}."
            )
    names = [setting.name for setting in SETTINGS if readable.get(setting.name, "").strip()]
    yield Finding(Level.OK, "settings", f"{', '.join(names) or 'none'} set; all others have their defaults")
    try:
        settings = read_settings(readable)
    except SetupError as error:  # each is valid, but not together
        yield Finding(Level.ERROR, "settings", str(error))
        settings = read_settings({name: readable[name] for name in readable if not name.endswith("_FILE")})
    yield from _readable("secret", lambda: [_secret(settings)])
    yield from _previous_secret(settings)
    if settings.postgres or not any(environ.get(name, "").strip() for name in ("POSTGRES", "POSTGRES_FILE")):
        if not settings.postgres:
            yield from _readable("data", lambda: _data_directory(settings))
        yield from _readable("database", lambda: _database(settings))
    yield from _readable("spool", lambda: [_spool(settings)])
    yield _port(settings)


def _readable(about: str, look: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of one check; an unreadable file or directory ends this check, not the others."""
    from orchboard.cli.streams import explain
    from orchboard.store.diagnostics import Finding, Level

    try:
        yield from look()
    except BrokenPipeError:
        raise
    except OSError as error:
        yield Finding(Level.ERROR, about, explain(error), "Run it as the user that the server runs as.")


def _secret(settings: Settings) -> Finding:
    import errno
    import os

    from orchboard.cli.settings import kept_secret, secret_file
    from orchboard.signing import SHORT_SECRET_BYTES, strength
    from orchboard.store.diagnostics import Finding, Level

    secret, kept = settings.secret, kept_secret(settings)
    if kept and not secret:
        path = secret_file(settings)
        if path.stat().st_mode & 0o077:
            return Finding(Level.WARNING, "secret", f"{path} can be read by others", f"chmod 600 '{path}'")
        if settings.postgres:
            return Finding(
                Level.WARNING, "secret", "SECRET is not set, so `serve` accepts results only from testers with their own keys",
                "Set SECRET to the secret of the job testers; with `--generate-secret`, `serve` uses the stored secret.",
            )  # fmt: skip
        says = f"SECRET is not set; `serve --generate-secret` and `post` use the secret in {path}"
        return Finding(Level.OK, "secret", says)
    if not secret:
        if secret_file(settings).exists():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(secret_file(settings)))
        return Finding(
            Level.WARNING, "secret", "SECRET is not set, so only testers with their own keys may post",
            "Set SECRET to the secret of the job testers, or use `orchboard serve --generate-secret`.",
        )  # fmt: skip
    length = strength(secret)
    if length < SHORT_SECRET_BYTES:
        return Finding(
            Level.WARNING, "secret", f"SECRET is short ({length} bytes): it can be guessed from one signed result",
            f"Use {SHORT_SECRET_BYTES} bytes or more, on the server and at the job testers.",
        )  # fmt: skip
    return Finding(Level.OK, "secret", f"SECRET is set ({length} bytes)")


def _previous_secret(settings: Settings) -> Iterator[Finding]:
    from orchboard.config import weak_secrets
    from orchboard.signing import SHORT_SECRET_BYTES
    from orchboard.store.diagnostics import Finding, Level

    if not settings.secret_previous:
        return
    if not settings.secret:
        says, remedy = "SECRET_PREVIOUS is set without SECRET and is ignored", "Set SECRET too."
    elif "SECRET_PREVIOUS" in weak_secrets(settings):
        says = "SECRET_PREVIOUS is short: it can be guessed from one signed result"
        remedy = (
            f"Give the testers a SECRET of {SHORT_SECRET_BYTES} bytes or more, then unset SECRET_PREVIOUS."
        )
    else:
        says = "SECRET_PREVIOUS is accepted too"
        remedy = "Unset it when all testers use the new secret."
    yield Finding(Level.WARNING, "secret", says, remedy)


def _database(settings: Settings) -> Iterator[Finding]:
    import asyncio

    from orchboard.cli.database import database_url
    from orchboard.cli.settings import data_directory
    from orchboard.errors import SetupError
    from orchboard.store.connection.conninfo import resolve
    from orchboard.store.diagnostics import Finding, Level, diagnose
    from orchboard.store.embedded.server import existing_url
    from orchboard.store.postgres.database import Database

    if not settings.postgres:
        try:
            if existing_url(data_directory(settings)) is None:
                says = "there is no embedded database yet, and POSTGRES is not set"
                yield Finding(Level.WARNING, "database", says, "`orchboard serve` creates it.")
                return
        except SetupError as error:
            yield Finding(Level.ERROR, "database", str(error))
            return
    patience_s = min(settings.db_timeout_s, PATIENCE_S)
    try:
        with database_url(settings) as url:
            for ignored in resolve(url).ignored:
                yield Finding(Level.WARNING, "connection", f"{ignored.name} is ignored: {ignored.why}")
            database = Database(url, connections=1, timeout_s=patience_s)
            yield from asyncio.run(
                diagnose(
                    database,
                    url,
                    timeout_s=patience_s,
                    scores_any_name=settings.orchestrator_names == "any",
                )
            )
    except SetupError as error:
        yield Finding(Level.ERROR, "database", str(error))


def _data_directory(settings: Settings) -> Iterator[Finding]:
    import os
    import shutil

    from orchboard.cli.settings import data_directory
    from orchboard.store.diagnostics import Finding, Level

    directory = data_directory(settings)
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        says = (
            f"{directory} can't be written to"
            if there == directory
            else f"{directory} can't be created in {there}"
        )
        yield Finding(Level.ERROR, "data", says, "Set ORCHBOARD_DATA to a directory that you can write to.")
        return
    free = shutil.disk_usage(there).free
    says = f"{directory}, {free / 1024**3:.1f} GiB free"
    if free < LOW_SPACE_BYTES:
        level = Level.ERROR if free < NO_SPACE_BYTES else Level.WARNING
        yield Finding(level, "data", says, "Free disk space there, or move ORCHBOARD_DATA to a larger disk.")
    else:
        yield Finding(Level.OK, "data", says)


def _spool(settings: Settings) -> Finding:
    import sqlite3

    from orchboard.cli.settings import data_directory
    from orchboard.errors import SetupError
    from orchboard.store.diagnostics import Finding, Level
    from orchboard.store.spool.location import spool_path, why_not_writable
    from orchboard.store.spool.sqlite_file import SpoolFile

    path = spool_path(data_directory(settings), settings.postgres)
    if not settings.spool_max_bytes:
        return Finding(
            Level.OK, "spool", "SPOOL_MAX_MB is 0: results are refused while the database is unavailable"
        )
    if reason := why_not_writable(path):
        return Finding(
            Level.WARNING,
            "spool",
            f"results are refused while the database is unavailable: {reason}",
            "Give the server's user write access to it.",
        )
    if not path.exists():
        return Finding(
            Level.OK, "spool", f"empty; while the database is unavailable, results go to {path.parent}"
        )
    file = SpoolFile(path, max_bytes=0)
    try:
        depth = file.depth()
    except SetupError as error:
        return Finding(
            Level.WARNING,
            "spool",
            str(error),
            "Until this is fixed, results are refused while the database is unavailable.",
        )
    except (sqlite3.Error, OSError) as error:
        return Finding(
            Level.WARNING, "spool", f"{path} can't be read: {error}", "Make the server's user its owner."
        )
    finally:
        file.close()
    says = f"{depth.waiting} results waiting to be stored and {depth.dead_letters} dead letters in {path}"
    if depth.dead_letters:
        return Finding(
            Level.WARNING,
            "spool",
            says,
            "`orchboard spool show` lists the reasons, `orchboard spool retry` retries them.",
        )
    if depth.waiting:
        return Finding(
            Level.WARNING, "spool", says, "A server stores them when the database is available again."
        )
    return Finding(Level.OK, "spool", f"empty: {path}")


def _port(settings: Settings) -> Finding:
    import errno
    import os
    import socket

    from orchboard.store.diagnostics import Finding, Level

    place = f"{settings.host} port {settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _neighbour(settings, place)
        says = f"can't listen on {place}: {os.strerror(error.errno or 0)}"
        return Finding(
            Level.ERROR,
            "port",
            says,
            "Set HOST to an address of this machine, and PORT to a number above 1023.",
        )
    return Finding(Level.OK, "port", f"{place} is free")


def _neighbour(settings: Settings, place: str) -> Finding:
    """Which program uses the port: a leaderboard server answers /api/health, healthy or not."""
    from orchboard.cli.settings import reachable_host
    from orchboard.client import Client, ClientError
    from orchboard.store.diagnostics import Finding, Level

    client = Client(
        f"http://{reachable_host(settings.host)}:{settings.port}", timeout=PATIENCE_S, max_retries=0
    )
    advice = f"See {client.url}/api/health"
    try:
        health = client.health()
    except ClientError:
        return Finding(
            Level.ERROR,
            "port",
            f"{place} is in use by another program",
            "Set PORT to another port, or stop that program.",
        )
    if troubles := _troubles(client):
        says = f"orchboard is running on {place} and reports: {'; '.join(troubles)}"
        return Finding(Level.WARNING, "port", says, advice)
    if not health.postgres.ok:
        return Finding(
            Level.WARNING, "port", f"orchboard is running on {place}, without its database", advice
        )
    return Finding(Level.OK, "port", f"orchboard is running on {place} and is healthy")


def _troubles(client: Client) -> list[str]:
    """Errors and notes of a running server's checks, which know more than doctor, such as failing writes."""
    from orchboard.client import ClientError

    try:
        checks = client.readyz().checks
    except ClientError:
        return []  # the Go server
    return [text for check in checks if (text := check.error or check.note)]
