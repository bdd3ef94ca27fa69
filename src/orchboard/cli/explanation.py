"""Prints why the score of an orchestrator is what it is."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from orchboard.cli.cells import Cell, ago, cell_of, count, decimal, moment, percent, seconds
from orchboard.cli.output import print_table, print_text
from orchboard.cli.reports import print_heading, window_of
from orchboard.reports.orchestrator import JobTypeRating, LastTested, Orchestrator, Term, Why
from orchboard.stats import JobType

# Of each list, the number of entries that are shown.
MOST_COSTS, MOST_TERMS, MOST_NAMES = 5, 5, 4
_WINDOWS = {"24h": "24 hours", "7d": "7 days", "30d": "30 days"}
# A cost that three decimals show as 0.000.
_NEGLIGIBLE = 0.0005


def print_explanation(report: Orchestrator, *, is_filtered: bool) -> None:
    """Print the explanation, or that the orchestrator was not tested."""
    print(cell_of(report.address))
    print_heading(report)
    if report.status == "tested":
        _print_tests(report)
        for rating in report.scores:
            print()
            _print_rating(rating)
    else:
        _print_untested(report, is_filtered=is_filtered)


def _print_tests(report: Orchestrator) -> None:
    places = [each for each in report.tested_by_region if each.last_at]
    if places:
        print_text(f"Last tested from {_places(places, report)}.")
    testers = [each.name for each in report.tested_by_tester if each.name]
    if testers:
        print_text(f"Tested by {_listed(list(dict.fromkeys(testers)))}.")
    known = [
        f"{percent(each.uptime)} in {_WINDOWS[each.window]}"
        for each in report.uptime
        if each.uptime is not None
    ]
    if known:
        print_text(f"Full successes: {', '.join(known)}.")


def _places(places: Sequence[LastTested], report: Orchestrator) -> str:
    latest = {each.name: each for each in reversed(places)}
    newest_first = sorted(latest.values(), key=lambda each: each.last_at, reverse=True)
    return _listed([f"{each.name} {ago(each.last_at, report.generated_at)}" for each in newest_first])


def _listed(names: Sequence[str]) -> str:
    more = len(names) - MOST_NAMES
    return ", ".join(names[:MOST_NAMES]) + (f", and {more} more" if more > 0 else "")


def _print_untested(report: Orchestrator, *, is_filtered: bool) -> None:
    if report.status == "never":
        never = "It was never tested: no result of it is stored."
        print_text("No result of it that the options select is stored." if is_filtered else never)
    else:
        last = f"{ago(report.last_tested_at, report.generated_at)}, at {moment(report.last_tested_at)} UTC"
        print_text(f"It was not tested in this window ({window_of(report)}). It was last tested {last}.")
    if not report.testing:
        print_text("No region has tested any orchestrator in the last 24 hours.")
        return
    print_text("These regions tested other orchestrators in the last 24 hours:")
    print()
    rows = [
        [
            each.region,
            each.job_type,
            count(each.results),
            count(each.orchestrators),
            ago(each.last_at, report.generated_at),
        ]
        for each in report.testing
    ]
    print_table(("region", "job type", "results", "orchestrators", "last"), rows, empty="")


def _print_rating(rating: JobTypeRating) -> None:
    name = "AI" if rating.job_type is JobType.AI else "Transcoding"
    unscored = f" {count(rating.unscored)} more are unscored, thus no verdict." if rating.unscored else ""
    if rating.score is None or rating.why is None:
        because = "only Ethereum addresses have scores" if rating.results else "it has no scored result"
        print_text(f"{name}: no score, because {because}.{unscored}")
        return
    score = rating.score
    interval = f", 95 % interval {decimal(score.low)} to {decimal(score.high)}"
    print_text(f"{name}: score {decimal(score.value)}{interval}")
    regions = len([region for region in rating.regions if region.results])
    print_text(f"{_many(rating.results, 'scored result')} in {_many(regions, 'region')}.{unscored}")
    _print_formula(rating.job_type, score.value, rating.why)
    _print_costs(rating, rating.why)
    _print_terms(rating.job_type, rating.why.terms)


def _print_formula(job_type: JobType, score: float, why: Why) -> None:
    lost = f"{decimal(why.lost_to_failures)} lost to failures - {decimal(why.lost_to_round_trips)} lost to round trips"
    print(f"\n  {decimal(score)} = 1 - {lost}\n")
    over = "regions, pipelines and models" if job_type is JobType.AI else "regions"
    print_text(f"It is the mean over {over} of:")
    print(f"\n  {why.formula}\n")
    if not why.terms:
        return
    term = why.terms[0]
    success, trip = decimal(term.success_rate), decimal(term.round_trip_score)
    if job_type is JobType.AI:
        product = f"{why.success_weight} * {success} + {why.round_trip_weight} * {trip}"
    else:
        product = f"{success} * {trip}"
    print_text(f"Most is lost in {_where(term)}:")
    print(f"\n  {decimal(term.score)} = {product}\n")
    print_text(_round_trip(job_type, term, trip))


def _round_trip(job_type: JobType, term: Term, score: str) -> str:
    """Why a term has its round-trip score: the mean round trip, and what it is compared with."""
    so = f"so the round_trip_score is {score}."
    if term.round_trip_time <= 0:
        return f"No result there has a round trip, {so}"
    is_ai = job_type is JobType.AI
    mean = f"The mean round trip there is {seconds(term.round_trip_time)} s"
    if term.reference is None:
        missing = "no orchestrator has a success to compare it with" if is_ai else "no segment has a duration"
        return f"{mean}, and {missing}, {so}"
    times = f"{decimal(term.round_trip_time / term.reference, 1)} times"
    compared = "the median of all orchestrators" if is_ai else "the duration of a segment"
    return f"{mean}, {times} {compared} ({seconds(term.reference)} s), {so}"


def _where(term: Term) -> str:
    model = _model(term.pipeline, term.model)
    return f"{term.region} with {model}" if model else term.region


def _model(pipeline: str, model: str) -> str:
    return " / ".join(filter(None, (pipeline, model)))


class _Cost(NamedTuple):
    cost: float
    if_fixed: float
    condition: str


def _costs(rating: JobTypeRating, why: Why) -> Iterator[_Cost]:
    """What may be fixed, in any order."""
    best = max(why.regions, key=lambda region: region.score, default=None)
    for region in why.regions:
        if best is not None and region.region != best.region:
            scores = f"({decimal(region.score)} instead of {decimal(best.score)})"
            yield _Cost(
                region.cost, region.if_fixed, f"{region.region} were as good as {best.region} {scores}"
            )
    medians = {(model.pipeline, model.model): model.median_rtt for model in rating.models}
    for model in why.models:
        name, median = _model(model.pipeline, model.model), medians.get((model.pipeline, model.model))
        at = f", at the median of {seconds(median)} s" if median is not None else ""
        yield _Cost(model.cost, model.if_fixed, f"all jobs of {name} succeeded{at}")
    for error in why.errors:
        failures = _many(max(1, round(error.results)), "failure")
        code = error.code or "no error code"
        yield _Cost(error.cost, error.if_fixed, f"the {failures} with {code} had succeeded")


def _print_costs(rating: JobTypeRating, why: Why) -> None:
    costs = sorted(_costs(rating, why), key=lambda cost: (-cost.cost, cost.condition))
    shown = [cost for cost in costs if cost.cost >= _NEGLIGIBLE][:MOST_COSTS]
    if not shown:
        return
    print()
    rows = [[_lost(cost.cost), decimal(cost.if_fixed), cost.condition] for cost in shown]
    print_table(("costs", "score then", "if"), rows, empty="")


def _print_terms(job_type: JobType, terms: Sequence[Term]) -> None:
    is_ai = job_type is JobType.AI
    print()
    rows = [
        [
            term.region,
            *([_model(term.pipeline, term.model)] if is_ai else []),
            count(term.results),
            percent(term.success_rate),
            seconds(term.round_trip_time),
            seconds(term.reference),
            decimal(term.score),
            _lost(term.weight * (1 - term.score)),
        ]
        for term in terms[:MOST_TERMS]
    ]
    headings = ["region", *(["model"] if is_ai else []), "results", "success", "seconds"]
    headings += ["median" if is_ai else "segment", "score", "costs"]
    print_table(headings, rows, empty="", cut={"model": 20}, drop=("results",))
    if len(terms) > MOST_TERMS:
        rest = sum(term.weight * (1 - term.score) for term in terms[MOST_TERMS:])
        print_text(f"{len(terms) - MOST_TERMS} more cost {decimal(rest)} together.")


def _lost(cost: float) -> Cell:
    return Cell(
        decimal(cost), is_number=True, style="bad" if cost >= 0.1 else "warning" if cost >= 0.01 else ""
    )


def _many(number: int, thing: str) -> str:
    return cell_of(f"{count(number)} {thing}{'' if number == 1 else 's'}")
