"""Ranks, means, orders and the state of the page, without a server."""

from datetime import timedelta

import pytest
from starlette.datastructures import QueryParams

from orchboard.errors import BadInputError
from orchboard.stats import JobType, Pipeline, Score
from orchboard.web.choice import Choice, model_options, parse_choice, pipeline_options, window_options
from orchboard.web.ranking import (
    COLUMNS,
    REGION_COLUMNS,
    Standing,
    rank_in_regions,
    rank_orchestrators,
    sort_rows,
)
from orchboard.web.rendering import bar_length, format_percent, format_score, split_address

DAY = timedelta(days=1)
A, B, C = "0xa", "0xb", "0xc"


def plain(score: float) -> Score:
    return Score(score, score, score)


SCORES = {
    A: {"FRA": plain(0.5), "MDW": plain(1.0)},
    B: {"FRA": plain(0.9)},
    C: {"FRA": plain(0.75), "LON": plain(0.75)},
}


def test_an_orchestrator_is_ranked_by_the_mean_over_its_regions() -> None:
    ranked = [(row.orchestrator, row.rank, row.mean.score) for row in rank_orchestrators(SCORES)]
    assert ranked == [(B, 1, 0.9), (A, 2, 0.75), (C, 2, 0.75)]


def test_a_region_counts_once_however_the_others_do() -> None:
    [row] = rank_orchestrators({A: {"FRA": Score(1.0, 0.25, 0.6), "LON": Score(0.0, 0.5, 0.0)}})
    assert row.mean == Score(0.5, 0.375, 0.3)
    assert (row.regions, row.best, row.best_score, row.worst, row.worst_score) == (2, "FRA", 0.6, "LON", 0.0)


def test_equal_regions_are_named_in_alphabetical_order() -> None:
    row = rank_orchestrators(SCORES)[-1]
    assert (row.best, row.worst) == ("FRA", "FRA")


def test_the_rank_after_a_shared_one_counts_everybody_above() -> None:
    scores = {name: {"FRA": plain(score)} for name, score in {"a": 0.5, "b": 0.9, "c": 0.5, "d": 0.1}.items()}
    assert [row.rank for row in rank_orchestrators(scores)] == [1, 2, 2, 4]


def test_an_empty_ranking_has_no_rows() -> None:
    assert rank_orchestrators({}) == []
    assert rank_in_regions(SCORES, "0xnobody") == []


def test_an_orchestrator_is_ranked_among_those_seen_in_each_region() -> None:
    rows = [(row.region, row.rank, row.of) for row in rank_in_regions(SCORES, A)]
    assert rows == [("MDW", 1, 1), ("FRA", 3, 3)]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.key)
def test_every_column_sorts_both_ways(column: object) -> None:
    key = column.key  # type: ignore[attr-defined] # a Column: pytest's ids hide it
    rows = rank_orchestrators(SCORES)
    up = sort_rows(rows, COLUMNS, key, descending=False)
    down = sort_rows(rows, COLUMNS, key, descending=True)
    values = [up.column.value(row) for row in up.rows]
    assert values == sorted(values)
    assert [up.column.value(row) for row in down.rows] == values[::-1]


@pytest.mark.parametrize("descending", [True, False])
def test_equal_rows_stay_in_the_order_of_rank(descending: bool) -> None:
    table = sort_rows(rank_orchestrators(SCORES), COLUMNS, "score", descending=descending)
    equal = [row.orchestrator for row in table.rows if row.mean.score == 0.75]
    assert equal == [A, C]


def test_each_column_has_an_initial_order() -> None:
    rows: list[Standing] = rank_orchestrators(SCORES)
    assert sort_rows(rows, COLUMNS, "score", descending=None).descending
    assert not sort_rows(rows, COLUMNS, "orchestrator", descending=None).descending


def test_an_unknown_column_is_refused_by_name() -> None:
    with pytest.raises(BadInputError, match=r"sort must be one of region, score, .* not 'shoe'"):
        sort_rows([], REGION_COLUMNS, "shoe", descending=None)


def choice(query: str) -> Choice:
    return parse_choice(QueryParams(query), DAY)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "job_type=ai",
        "job_type=ai&pipeline=a+%26+b&model=m%2Fx%3D1%23",
        "orchestrator=0xab&region=FRA",
        "window=all",
        "sort=best",
        "sort=best&order=asc",
        "order=asc",
    ],
)
def test_a_link_leads_to_the_state_it_was_made_from(query: str) -> None:
    link = choice(query).link()
    assert choice(link.removeprefix("/").removeprefix("?")) == choice(query)
    assert len(link) <= len(query) + 2


def test_what_a_form_sends_empty_counts_as_absent_and_the_first_of_several_wins() -> None:
    assert choice("job_type=&region=&window=&sort=&order=&orchestrator=") == choice("")
    assert choice("region=fra&region=lon").region == "FRA"


def test_a_pipeline_means_ai_and_is_left_aside_for_transcoding() -> None:
    assert choice("pipeline=p").job_type is JobType.AI
    left = choice("pipeline=p&model=m&job_type=transcoding")
    assert (left.job_type, left.pipeline, left.model) == (JobType.TRANSCODING, None, None)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("job_type=video", "job_type"),
        ("window=2h", "window"),
        ("order=up", "order"),
        ("orchestrator=" + "x" * 57, "orchestrator"),
        ("model=" + "x" * 257, "model"),
        ("region=%00", "region"),
    ],
)
def test_a_parameter_that_can_not_be_read_is_named(query: str, named: str) -> None:
    with pytest.raises(BadInputError, match=f"^{named} "):
        choice(query)


@pytest.mark.parametrize(
    ("default", "ids", "label"),
    [
        (DAY, ["1h", "24h", "7d", "30d", "all"], "last 24 hours"),
        (timedelta(minutes=90), ["1h", "90m", "24h", "7d", "30d", "all"], "last 90 minutes"),
        (timedelta(hours=1), ["1h", "24h", "7d", "30d", "all"], "last hour"),
        (timedelta(days=365), ["1h", "24h", "7d", "30d", "365d", "all"], "last 365 days"),
        (timedelta(seconds=1.5), ["1500ms", "1h", "24h", "7d", "30d", "all"], "last 1.5 seconds"),
    ],
)
def test_the_default_window_is_always_on_offer(default: timedelta, ids: list[str], label: str) -> None:
    offered = window_options(default)
    assert [span.id for span in offered] == ids
    assert [span.label for span in offered if span.is_default] == [label]


SEEN = (Pipeline("audio", ("m1", "m2"), ("FRA",)), Pipeline("text", ("m2", "m3"), ("FRA",)))


def test_every_model_is_offered_once_with_its_pipeline() -> None:
    assert model_options(choice("job_type=ai"), SEEN) == [
        ("audio", ["m1"]),
        ("text", ["m3"]),
        ("several pipelines", ["m2"]),
    ]


def test_a_chosen_pipeline_offers_its_own_models() -> None:
    assert model_options(choice("pipeline=text"), SEEN) == [("text", ["m2", "m3"])]


def test_what_was_chosen_is_offered_even_when_it_was_not_seen() -> None:
    gone = choice("pipeline=gone&model=m9")
    assert pipeline_options(gone, SEEN) == ["audio", "gone", "text"]
    assert model_options(gone, SEEN) == [("not seen here", ["m9"])]


def test_numbers_out_of_all_range_stay_short() -> None:
    assert [format_score(x) for x in (0.0, 1.0, -0.25, 1e300)] == ["0.000", "1.000", "-0.250", ">9"]
    assert [format_percent(x) for x in (0.0, 0.9999, 1.0, 1e308)] == ["0.0%", "99.9%", "100.0%", ">900%"]
    assert [bar_length(x) for x in (-3.0, 0.5, 1e308)] == ["0.0", "50.0", "100.0"]


@pytest.mark.parametrize("address", ["", "0x", "x" * 13, "x" * 14, "ü" * 56])
def test_a_shortened_address_still_holds_all_of_it(address: str) -> None:
    assert "".join(split_address(address)) == address
