"""orchboard doctor"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from orchboard.config import Settings
    from orchboard.store.diagnostics import Finding

LOW_SPACE_BYTES = 1024**3
NO_SPACE_BYTES = 100 * 1024**2
PATIENCE_S = 10.0

_MARKS = {"ok": "✓", "warning": "!", "error": "✗"}


def doctor(*, json: Annotated[bool, Parameter(help="As JSON.", negative="")] = False) -> int:
    """Say what is wrong with the settings and the database.

    Looks at every setting, the database and what it holds, the data directory and the port, each in a line:
    ✓ fine, ! may surprise, ✗ keeps the server from working, with the remedy under it. Changes nothing.
    Exit status 0: there was no ✗.

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
            print(f"{_MARKS[finding.level]} {finding.about}: {printable(finding.says)}")
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
    yield Finding(Level.OK, "settings", f"{', '.join(names) or 'none'} set; the rest is at its default")
    try:
        settings = read_settings(readable)
    except SetupError as error:  # each can be read, but not beside the others
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
    """The findings; one that a file or directory can't be read ends them, but not the others."""
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
                Level.WARNING, "secret", "SECRET is not set, so `serve` takes results only from testers with keys of their own",
                "Set SECRET to what the job testers sign with; `--generate-secret` takes the one kept here.",
            )  # fmt: skip
        says = f"SECRET is not set; `serve --generate-secret` and `post` use the one kept in {path}"
        return Finding(Level.OK, "secret", says)
    if not secret:
        if secret_file(settings).exists():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(secret_file(settings)))
        return Finding(
            Level.WARNING, "secret", "SECRET is not set, so only testers with keys of their own may post",
            "Set SECRET to what the job testers sign with, or use `orchboard serve --generate-secret`.",
        )  # fmt: skip
    length = strength(secret)
    if length < SHORT_SECRET_BYTES:
        return Finding(
            Level.WARNING, "secret", f"SECRET is short ({length} bytes): it can be guessed from one signed result",
            f"Take {SHORT_SECRET_BYTES} bytes or more, here and at the job testers.",
        )  # fmt: skip
    return Finding(Level.OK, "secret", f"SECRET is set ({length} bytes)")


def _previous_secret(settings: Settings) -> Iterator[Finding]:
    from orchboard.config import weak_secrets
    from orchboard.signing import SHORT_SECRET_BYTES
    from orchboard.store.diagnostics import Finding, Level

    if not settings.secret_previous:
        return
    if not settings.secret:
        says, remedy = "SECRET_PREVIOUS is set without SECRET, and counts for nothing", "Set SECRET too."
    elif "SECRET_PREVIOUS" in weak_secrets(settings):
        says = "SECRET_PREVIOUS is short: it can be guessed from one signed result"
        remedy = f"Have the testers change to a SECRET of {SHORT_SECRET_BYTES} bytes or more, then unset it."
    else:
        says = "SECRET_PREVIOUS is accepted too"
        remedy = "Unset it when every tester has changed over."
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
                says = "there is no embedded one yet, and POSTGRES is not set"
                yield Finding(Level.WARNING, "database", says, "`orchboard serve` makes it.")
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
            else f"{there} lets nobody make {directory}"
        )
        yield Finding(Level.ERROR, "data", says, "Set ORCHBOARD_DATA to a directory of yours.")
        return
    free = shutil.disk_usage(there).free
    says = f"{directory}, with {free / 1024**3:.1f} GiB of room"
    if free < LOW_SPACE_BYTES:
        level = Level.ERROR if free < NO_SPACE_BYTES else Level.WARNING
        yield Finding(level, "data", says, "Make room there, or set ORCHBOARD_DATA to a larger disk.")
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
        return Finding(Level.OK, "spool", "SPOOL_MAX_MB is 0: results are refused while the database is away")
    if reason := why_not_writable(path):
        return Finding(
            Level.WARNING,
            "spool",
            f"results are refused while the database is away: {reason}",
            "The server's user must be able to write there.",
        )
    if not path.exists():
        return Finding(Level.OK, "spool", f"empty; results wait in {path.parent} while the database is away")
    file = SpoolFile(path, max_bytes=0)
    try:
        depth = file.depth()
    except SetupError as error:
        return Finding(
            Level.WARNING, "spool", str(error), "Until then results are refused while the database is away."
        )
    except (sqlite3.Error, OSError) as error:
        return Finding(
            Level.WARNING, "spool", f"{path} can't be read: {error}", "Its owner must be the server's user."
        )
    finally:
        file.close()
    says = f"{depth.waiting} results wait for the database in {path}, {depth.dead_letters} were put aside"
    if depth.dead_letters:
        return Finding(
            Level.WARNING,
            "spool",
            says,
            "`orchboard spool show` says why, `orchboard spool retry` tries again.",
        )
    if depth.waiting:
        return Finding(Level.WARNING, "spool", says, "A server stores them as soon as the database is back.")
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
            Level.ERROR, "port", says, "Set HOST to an address of this machine and PORT to one above 1023."
        )
    return Finding(Level.OK, "port", f"{place} is free")


def _neighbour(settings: Settings, place: str) -> Finding:
    """Who holds the port: a leaderboard server says so in its /api/health, well or not."""
    import urllib3

    from orchboard.cli.settings import reachable_host
    from orchboard.store.diagnostics import Finding, Level

    url = f"http://{reachable_host(settings.host)}:{settings.port}/api/health"
    try:
        answer = urllib3.request("GET", url, timeout=PATIENCE_S, retries=False, redirect=False)
        is_ours, is_well = b'"postgres"' in answer.data, answer.status == 200
    except urllib3.exceptions.HTTPError:
        is_ours = is_well = False
    if not is_ours:
        return Finding(
            Level.ERROR, "port", f"{place} is held by another program", "Set PORT to another one, or stop it."
        )
    troubles = _troubles(f"http://{reachable_host(settings.host)}:{settings.port}/readyz")
    if troubles:
        says = f"an orchboard serves on {place}, and says of itself: {'; '.join(troubles)}"
        return Finding(Level.WARNING, "port", says, f"See {url}")
    if not is_well:
        return Finding(
            Level.WARNING, "port", f"an orchboard serves on {place}, but without its database", f"See {url}"
        )
    return Finding(Level.OK, "port", f"an orchboard serves on {place}, and is well")


def _troubles(url: str) -> list[str]:
    """What a running server's checks have to say: also what only it can know, such as that its writes fail."""
    import json

    import urllib3

    try:
        checks = json.loads(urllib3.request("GET", url, timeout=PATIENCE_S, retries=False).data)["checks"]
        return [
            check.get("error") or check["note"] for check in checks if "error" in check or "note" in check
        ]
    except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError):
        return []  # another leaderboard server has no such page
