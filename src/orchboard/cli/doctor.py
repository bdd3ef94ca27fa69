"""orchboard doctor"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from orchboard.config import Settings
    from orchboard.store.diagnostics.findings import Finding

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

    from orchboard.cli.cells import printable
    from orchboard.cli.output import print_json
    from orchboard.runtime.logs import configure_logs
    from orchboard.store.diagnostics.findings import Level

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
    """The findings of all checks in an environment. Each check runs when its finding is asked for."""
    from orchboard.cli.doctor_port import examine_port
    from orchboard.cli.doctor_secret import examine_previous_secret, examine_secret
    from orchboard.cli.doctor_storage import examine_data_directory, examine_database, examine_spool

    settings = yield from _examine_settings(environ)
    yield from _readable("secret", lambda: [examine_secret(settings)])
    yield from examine_previous_secret(settings)
    if settings.postgres or not any(environ.get(name, "").strip() for name in ("POSTGRES", "POSTGRES_FILE")):
        if not settings.postgres:
            yield from _readable("data", lambda: [examine_data_directory(settings)])
        yield from _readable("database", lambda: examine_database(settings))
    yield from _readable("spool", lambda: [examine_spool(settings)])
    yield examine_port(settings)


def _examine_settings(environ: Mapping[str, str]) -> Generator[Finding, None, Settings]:
    """Yield the findings about the settings; return those that are valid, with defaults for the others."""
    from orchboard.config import SETTINGS, read_settings
    from orchboard.errors import SetupError
    from orchboard.store.diagnostics.findings import Finding, Level

    valid = dict(environ)
    for setting in SETTINGS:
        names = [name for name in (setting.name, setting.old_name) if environ.get(name, "").strip()]
        try:
            read_settings({name: environ[name] for name in names})
        except SetupError as error:
            for name in names:
                del valid[name]
            remedy = f"{setting.help} Default: {setting.default or 'none'}."
            yield Finding(Level.ERROR, "settings", str(error), remedy)
    known = [name for setting in SETTINGS for name in (setting.name, setting.old_name)]
    found = ", ".join(name for name in known if valid.get(name, "").strip())
    yield Finding(Level.OK, "settings", f"{found or 'none'} set; all others have their defaults")
    try:
        return read_settings(valid)
    except SetupError as error:  # each is valid, but they contradict each other
        yield Finding(Level.ERROR, "settings", str(error))
        return read_settings({name: valid[name] for name in valid if not name.endswith("_FILE")})


def _readable(about: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of one check; an unreadable file or directory ends this check, not the others."""
    from orchboard.cli.streams import explain
    from orchboard.store.diagnostics.findings import Finding, Level

    try:
        yield from check()
    except BrokenPipeError:
        raise
    except OSError as error:
        yield Finding(Level.ERROR, about, explain(error), "Run it as the user that the server runs as.")
