"""What needs the operator's attention, from the figures of the page: a sentence, and what to do about it.

The thresholds of the spool and the rollups are those of the alerts (contrib/prometheus/orchboard.rules.yml).
"""

import re
from collections.abc import Callable, Iterator

from orchboard.store.diagnostics.findings import Finding, Level
from orchboard.web.status_figures import Figures, for_operators

SPOOL_OLDEST_S = 60.0
SPOOL_USED_RATIO = 0.5
WATERMARK_AGE_S = 600.0

_REMEDIES = {
    "database": "Run `orchboard doctor`: it names the cause and the remedy. {meanwhile} See “Failure reference” in "
    "docs/operations.md.",
    "writing": "Run `orchboard doctor`: it names the cause and the remedy. {meanwhile} See “Failure reference” in "
    "docs/operations.md.",
    "spool": "Restore the database, or free disk space and check the permissions of ORCHBOARD_DATA; SPOOL_MAX_MB is the "
    "maximum size. See “Spool and disk” in docs/operations.md.",
    "background": "The table of background tasks below has the last error of each, and the log has all of them.",
    "results": "Check that the job testers run, and that they post to this server with its SECRET or their own keys: posts "
    "that were refused are counted below.",
}
"""What to do when a check of `/readyz` fails or has a note, by its name."""

_CONSEQUENCES = frozenset({"writing", "background"})
"""Checks that fail while the database is away: not worth another line then."""

Rule = Callable[[Figures], Iterator[Finding]]


def find(figures: Figures) -> list[Finding]:
    """What needs attention; errors first."""
    found = [finding for rule in RULES for finding in rule(figures)]
    return sorted(found, key=lambda finding: finding.level is not Level.ERROR)


def remedy_parts(remedy: str, command: str) -> list[tuple[bool, str]]:
    """A remedy in parts: whether each is a command to paste, and its text.

    command -- how users run orchboard

    >>> remedy_parts("Run `orchboard doctor`.", "docker exec board orchboard")
    [(False, 'Run '), (True, 'docker exec board orchboard doctor'), (False, '.')]
    """
    return [
        (at % 2 == 1, re.sub(r"^orchboard\b", lambda _: command, part) if at % 2 else part)
        for at, part in enumerate(remedy.split("`"))
        if part
    ]


def _readiness(figures: Figures) -> Iterator[Finding]:
    """The checks of `/readyz` that fail or have a note."""
    is_away = figures.database.refusal is not None
    for check in figures.readiness.checks:
        message = check.error or check.note
        if message and not (is_away and check.name in _CONSEQUENCES):
            level = Level.ERROR if check.error else Level.WARNING
            yield Finding(level, check.name, for_operators(message), _remedy(check.name, figures))


def _remedy(check: str, figures: Figures) -> str:
    meanwhile = (
        "Results go to the spool meanwhile, and are stored when it is back."
        if figures.has_spool
        else "There is no spool: results are refused meanwhile."
    )
    return _REMEDIES.get(check, "The log has the details.").replace("{meanwhile}", meanwhile)


def _spool(figures: Figures) -> Iterator[Finding]:
    spool = figures.spool
    if spool is None:
        return
    depth = spool.depth
    oldest_s = depth.age_s(figures.now)
    if depth.dead_letters:
        yield Finding(
            Level.WARNING,
            "spool",
            f"{_results(depth.dead_letters)} could not be stored: the database refuses {_it(depth.dead_letters)}",
            "`orchboard spool show` lists the reasons. Correct the cause, then run `orchboard spool retry`.",
        )
    if figures.database.refusal is None and depth.waiting and oldest_s > SPOOL_OLDEST_S:
        yield Finding(
            Level.WARNING,
            "spool",
            f"{_results(depth.waiting)} {'waits' if depth.waiting == 1 else 'wait'} in the spool, the oldest for "
            f"{oldest_s / 60:.0f} min, although the database answers",
            "The log has the database’s reason at `spooled results wait`. See “Database outages and the spool” in "
            "docs/operations.md.",
        )
    if spool.used_ratio > SPOOL_USED_RATIO and _passes(figures, "spool"):
        yield Finding(
            Level.WARNING,
            "spool",
            f"{spool.used_ratio * 100:.0f} % of the spool is used",
            "Restore the database, or raise SPOOL_MAX_MB and restart the server.",
        )


def _rollups(figures: Figures) -> Iterator[Finding]:
    age_s = figures.rollups.age_s if figures.rollups else None
    if age_s is not None and age_s > WATERMARK_AGE_S:
        yield Finding(
            Level.WARNING,
            "rollups",
            f"the rollups are {age_s / 60:.0f} min behind: answers are right, but long windows are slow",
            "Run `orchboard doctor`, and look for a long transaction in pg_stat_activity. `orchboard rollups verify` "
            "compares the rollups with the results.",
        )


def _refused(figures: Figures) -> Iterator[Finding]:
    """Results that neither the database nor the spool took: testers do not send them again."""
    lost = sum(figures.hour.refused.get(status, 0) for status in (500, 503))
    if lost:
        yield Finding(
            Level.WARNING,
            "results",
            f"{_results(lost)} of the last hour {'was' if lost == 1 else 'were'} refused because the server could not "
            f"store {_it(lost)}",
            "See “When a POST is answered 503” in docs/operations.md. The log has the reasons.",
        )


def _workers(figures: Figures) -> Iterator[Finding]:
    others = figures.other_workers + sum(not worker.is_same_version for worker in figures.workers)
    if others:
        yield Finding(
            Level.WARNING,
            "workers",
            f"{others} {'worker runs' if others == 1 else 'workers run'} another version than the one that made this page",
            "Wait until all workers are replaced. If it stays so, restart the server. See “Stopping, restarting, "
            "upgrading” in docs/operations.md.",
        )


def _diagnosis(figures: Figures) -> Iterator[Finding]:
    """The findings of `orchboard doctor` on the database, while it answers."""
    if figures.database.refusal is None:
        yield from (
            finding
            for finding in figures.diagnosed.findings
            if finding.level is not Level.OK and finding.about not in ("database", "writing")
        )


def _passes(figures: Figures, check: str) -> bool:
    return all(result.ok for result in figures.readiness.checks if result.name == check)


def _results(number: int) -> str:
    return f"{number:,} result{'' if number == 1 else 's'}"


def _it(number: int) -> str:
    return "it" if number == 1 else "them"


RULES: tuple[Rule, ...] = (_readiness, _spool, _rollups, _refused, _workers, _diagnosis)
"""A further thing that needs attention is one more function."""
