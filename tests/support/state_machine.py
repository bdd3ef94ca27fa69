"""A Hypothesis state machine that uses a server as testers, readers and other programs do, and compares answers with the model."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import asyncpg
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from orchboard.config import read_settings
from orchboard.store.details.builder import DetailBuilder
from orchboard.store.rollups.builder import RollupBuilder
from tests.support.answer_differences import differing_rows, json_differences
from tests.support.database import run
from tests.support.foreign_rows import ForeignRow, foreign_rows
from tests.support.html_document import Document
from tests.support.leaderboard_model import ZEROS, LeaderboardModel, Result, result_of_post
from tests.support.open_transaction import OpenTransaction
from tests.support.report_model import REPORTS, with_window
from tests.support.report_model_more import MORE_REPORTS, lines
from tests.support.server import SECRET, Answer, Client, RunningServer

SEEN_WITHIN_S = 10.0
"""Changes by other programs are visible within a second; longer on a busy machine."""

ORCHESTRATORS = ("0x" + "aa" * 20, "0x" + "bb" * 20, "odd")
"""The last one is not an address: its results are stored and count in medians, but have no score."""
NAMES = [("p", "m/1"), ("p", "m/1"), ("p", "m 2"), ("q ü&=", "m/1")]
numbers = st.sampled_from([None, 0, 0.25, 0.5, 1, 1.0, 1, 2, 3.75, -1])
results = st.fixed_dictionaries(
    {
        "region": st.sampled_from(["FRA", "fra", "MDW", "LAX", "GLOBAL", "NEW"]),
        "orchestrator": st.sampled_from([f" 0x{'aA' * 20}\n", *ORCHESTRATORS]),
        "success_rate": numbers,
        "round_trip_time": numbers,
    },
    optional={
        "seg_duration": numbers,
        "timestamp": st.sampled_from([0, -5, 2**63 - 1]),
        "errors": st.sampled_from([None, [], [{"error_code": "E", "count": -2, "message": "\u2028é\\"}]]),
        "model_is_warm": st.booleans(),
        "response_payload": st.text(st.characters(codec="utf-8"), max_size=9) | st.just("a\0"),
        "test_outcome": st.sampled_from(["scored", "unscored", "unscored_x", 7, None]),
        "mine": st.sampled_from([{"a": [1, None, {"": 2.5}]}, 2**70, "x", [[]], {"\0": ["\0"]}, 10**400]),
    },
)
named = st.sampled_from([*NAMES, *NAMES, (None, None), ("", ""), ("p", None), (None, "m/1")])
sent = st.builds(lambda result, names: result | dict(zip(("pipeline", "model"), names, strict=True)), results,
                 st.sampled_from([(None, None)]) | named)  # fmt: skip

# Invalid members and their JSON text, for posts that must be refused.
REFUSED = [
    ("region", '"NOWHERE"'), ("region", '""'), ("region", "7"), ("orchestrator", '" "'), ("orchestrator", "[]"),
    ("success_rate", '"1"'), ("success_rate", "NaN"), ("round_trip_time", "1e400"), ("timestamp", "1.5"),
    ("timestamp", "9223372036854775808"), ("errors", "{}"), ("model", '"\\u0000"'), ("orchestrator", '"\\u0000"'),
    ("mine", "Infinity"), ("mine", "{"), ("pipeline", json.dumps("p" * 257)),
]  # fmt: skip


def shown_rows(document: Document, *, of_one: bool) -> list[list[str]]:
    """The rows of a page as LeaderboardModel.page has them: those with a score, with their first numbers."""
    if of_one:
        regions = document.table("by-region")
        return [[row[0], row[1].split()[0], row[2]] for row in regions if "unscored" not in row[1]]
    return [[row[0].split()[0], row[1], row[2].split()[0], row[3]] for row in document.cells if row[0] != "–"]


PAGES: list[dict[str, Any]] = [{}, {"job_type": "ai"}, {"pipeline": "p"}, {"model": "m/1"}, {"window": "all"}]

QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("aggregated_stats", {}), ("aggregated_stats", {"job_type": "ai"}), ("pipelines", {}), ("top_ai_score", {}),
    ("aggregated_stats", {"since": 1}), ("aggregated_stats", {"job_type": "ai", "since": 1}), ("pipelines", {"since": 1}),
    ("listed_regions", {}), *(("raw_stats", {"orchestrator": orchestrator, "job_type": job_type, "since": 1})
                              for orchestrator in ORCHESTRATORS for job_type in ("transcoding", "ai")),
]  # fmt: skip

REPORT_QUESTIONS: list[tuple[str, dict[str, Any]]] = [
    ("errors", {}),
    ("leaderboard", {"window": "all"}),
    ("history", {"window": "7d", "bucket": "6h"}),
    ("orchestrators", {"window": "all", "orchestrator": ORCHESTRATORS[0]}),
    ("errors", {"window": "all", "region": "FRA", "job_type": "transcoding"}),
    ("leaderboard", {"job_type": "ai"}),
    ("history", {"window": "7d", "bucket": "1d", "orchestrator": ORCHESTRATORS[0]}),
    ("orchestrators", {"orchestrator": ORCHESTRATORS[2]}),
    ("uptime", {"orchestrator": ORCHESTRATORS[0]}),
    ("compare", {"orchestrators": ",".join(ORCHESTRATORS[:2]), "window": "7d"}),
    ("coverage", {}),
    ("export", {"what": "results", "window": "all"}),
    ("export", {"what": "rollups", "bucket": "1d", "window": "7d"}),
    ("badge", {"metric": "score", "orchestrator": ORCHESTRATORS[0], "window": "24h"}),
    ("badge", {"metric": "success", "orchestrator": ORCHESTRATORS[1], "window": "7d"}),
    ("badge", {"metric": "uptime", "orchestrator": ORCHESTRATORS[0], "window": "7d"}),
]

INSERT = """
INSERT INTO events (event_time, orchestrator, region_id, payload)
SELECT $1, $2, r.id, $3::text::jsonb FROM regions r JOIN job_types j ON j.id = r.job_type_id
WHERE r.name = $4 AND j.name = $5
"""
DELETE = "DELETE FROM events WHERE lower(orchestrator) = $1 AND event_time < $2"
UPDATE = "UPDATE events SET payload = payload || $1::text::jsonb WHERE payload ? 'mine'"
RENAME = "UPDATE regions SET name = $2 WHERE name = $1"
ADD = "INSERT INTO regions (name, display_name, job_type_id) SELECT $1, $1, id FROM job_types WHERE name = $2"


class LeaderboardMachine(RuleBasedStateMachine):
    """A sequence of operations on a leaderboard. database -- creates an empty database; its URL"""

    database: Callable[[], AbstractContextManager[str]]

    def __init__(self) -> None:
        super().__init__()
        self._context = self.database()
        self.url = self._context.__enter__()
        self.ahead_s = 0.0
        self.marks = [time.time()]
        self.keys: dict[str, dict[str, Any]] = {}
        self.unseen_until = 0.0
        self.steps = 0
        self.pending: tuple[OpenTransaction, Result] | None = None
        self.renamed = "MIA"
        self.start()
        answer = self.client.get("/api/regions")
        assert answer.status == 200, answer.data
        self.model = LeaderboardModel(answer.json()["regions"])
        self.postable = {region["id"] for region in self.model.regions}
        self.perhaps_postable = set[str]()

    def teardown(self) -> None:
        try:
            if self.pending:
                self.the_open_transaction_commits()
            for name, asked in QUESTIONS:
                self.ask(name, **asked)
            for asked in PAGES:
                self.ask_page(asked)
            for name, asked in REPORT_QUESTIONS:
                self.ask_report(name, asked)
        finally:
            self.server.stop()
            self._context.__exit__(None, None, None)

    def start(self) -> None:
        settings = replace(read_settings({}), postgres=self.url, secret=SECRET, reports_cache_s=0.0)
        self.server = RunningServer(settings, now=lambda: datetime.fromtimestamp(self.now, UTC))
        self.client = Client(self.server.url)

    @property
    def now(self) -> float:
        return time.time() + self.ahead_s

    # Testers.

    def store(self, result: dict[str, Any], key: str | None = None) -> None:
        began = time.time()
        answer = self.client.post_stats(result, key=key)
        stored = result_of_post(began, result)
        if stored.region in self.perhaps_postable and answer.status != 400:
            self.postable.add(stored.region)
        if stored.region not in self.postable:
            assert (answer.status, answer.json()) == (400, {"error": "invalid region"})
            return
        if key in self.keys:
            assert answer.status == (200 if self.keys[key] == result else 422)
        else:
            assert (answer.status, answer.data) == (200, b"ok")
            self.model.results.append(stored)
            self.keys |= {key: result} if key else {}
        self.register(stored.region, stored.job_type)
        self.marks.append(time.time())

    def register(self, region: str, job_type: str) -> None:
        known = [each for each in self.model.regions if each["id"] == region]
        if job_type not in {each["type"] for each in known}:
            name = known[0]["name"] if known else region
            self.model.regions.append({"id": region, "name": name, "type": job_type})

    @rule(results=st.lists(sent, min_size=1, max_size=4))
    def post(self, results: list[dict[str, Any]]) -> None:
        for result in results:
            self.store(result)

    @rule(result=sent, key=st.sampled_from(["k", "key 2"]))
    def post_with_a_key(self, result: dict[str, Any], key: str) -> None:
        self.store(result, key)

    @precondition(lambda self: self.keys)
    @rule(data=st.data())
    def post_again(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.keys)))
        self.store(self.keys[key], key)

    @rule(result=sent, wrong=st.sampled_from(REFUSED), key=st.sampled_from([None, "k", "new"]))
    def post_what_is_refused(self, result: dict[str, Any], wrong: tuple[str, str], key: str | None) -> None:
        members = {"region": "FRA"} | {name: value for name, value in result.items() if name != "region"}
        text = json.dumps({name: value for name, value in members.items() if name != wrong[0]})
        answer = self.client.post(f'{text[:-1]}, "{wrong[0]}": {wrong[1]}}}'.encode(), key=key)
        assert (answer.status, answer.json().keys()) == (400, {"error"})

    @rule(result=sent, number=st.sampled_from(["1e999999", "-1e4300", "[[1e400000000000]]"]))
    def post_what_can_not_be_held(self, result: dict[str, Any], number: str) -> None:
        result = {"region": "FRA"} | {
            name: each for name, each in result.items() if name not in ("region", "mine")
        }
        began = time.time()
        assert self.client.post(f'{json.dumps(result)[:-1]}, "mine": {number}}}'.encode()).data == b"ok"
        stored = result_of_post(began, result | {"mine": math.inf})
        self.model.results.append(stored)
        self.register(stored.region, stored.job_type)
        self.marks.append(time.time())

    @rule(result=sent)
    def post_unsigned(self, result: dict[str, Any]) -> None:
        assert self.client.post_stats(result, secret="another").status == 403

    # Other programs, maintenance and restarts.

    def behind_the_server(self, *statements: tuple[Any, ...]) -> None:
        async def write() -> None:
            connection = await asyncpg.connect(self.url)
            async with connection.transaction():
                for statement in statements:
                    await connection.execute(*statement)
            await connection.close()

        run(write())
        self.unseen_until = time.monotonic() + SEEN_WITHIN_S
        self.marks.append(time.time())

    @rule(rows=st.lists(foreign_rows, min_size=1, max_size=5))
    def another_program_stores_anything(self, rows: list[ForeignRow]) -> None:
        began = datetime.now(UTC)
        received = [
            began - timedelta(hours=row.hours_ago, microseconds=number) for number, row in enumerate(rows)
        ]
        inserts = [
            (INSERT, when, row.orchestrator, row.payload, "FRA", row.job_type)
            for when, row in zip(received, rows, strict=True)
        ]
        self.behind_the_server(*inserts)
        self.model.results += [row.result(when.timestamp()) for when, row in zip(received, rows, strict=True)]

    @rule(region=st.sampled_from(["NEW", "lower"]), job_type=st.sampled_from(["ai", "transcoding"]))
    def somebody_adds_a_region(self, region: str, job_type: str) -> None:
        if (region, job_type) not in {(each["id"], each["type"]) for each in self.model.regions}:
            self.behind_the_server((ADD, region, job_type))
            self.register(region, job_type)

    @rule(
        orchestrator=st.sampled_from(["", *ORCHESTRATORS]),
        older_than_h=st.sampled_from([-1, 0.2, 4, 25, 100]),
    )
    def somebody_deletes_results(self, orchestrator: str, older_than_h: float) -> None:
        before = time.time() - older_than_h * 3600
        self.behind_the_server((DELETE, orchestrator, datetime.fromtimestamp(before, UTC)))
        self.model.results = [
            each
            for each in self.model.results
            if each.orchestrator != orchestrator or each.received >= before
        ]

    @rule()
    def somebody_truncates_the_table(self) -> None:
        if self.pending is None:  # it would wait for that
            self.behind_the_server(("TRUNCATE events",))
            self.model.results = []

    @rule(numbers=st.sampled_from([{"success_rate": 0.5}, {"success_rate": 1, "round_trip_time": 2.5}]))
    def somebody_updates_payloads(self, numbers: dict[str, float]) -> None:
        self.behind_the_server((UPDATE, json.dumps(numbers)))
        self.model.results = [
            replace(each, **numbers, row=each.row | numbers) if "mine" in each.row else each
            for each in self.model.results
        ]

    @rule(hours_ago=st.sampled_from([0, 1, 30]))
    def somebody_renames_a_region(self, hours_ago: float) -> None:
        """Rename a region with a result that no post uses."""
        old, self.renamed = self.renamed, "XMI" if self.renamed == "MIA" else "MIA"
        when = datetime.now(UTC) - timedelta(hours=hours_ago)
        payload = {"region": old, "orchestrator": "0xaa", "success_rate": 1}
        self.behind_the_server(
            (INSERT, when, "0xaa", json.dumps(payload), old, "transcoding"), (RENAME, old, self.renamed)
        )
        self.model.results.append(
            Result(when.timestamp(), "transcoding", old, "0xaa", ZEROS | payload, success_rate=1)
        )
        self.model.results = [
            replace(each, region=self.renamed) if each.region == old else each for each in self.model.results
        ]
        for region in self.model.regions:
            if region["id"] == old:
                region["id"] = self.renamed
        # A query that notices the new name reads all regions again, including those that another program has added.
        self.perhaps_postable = {region["id"] for region in self.model.regions}

    @precondition(lambda self: self.pending is None)
    @rule(late_s=st.sampled_from([0.0, 0.5, 5.0, 7200.0]))
    def a_transaction_is_left_open(self, late_s: float) -> None:
        when = datetime.now(UTC) - timedelta(seconds=late_s)
        payload = {"success_rate": 1, "round_trip_time": 3.75, "pipeline": "p", "model": "m/1"}
        payload |= {"region": "FRA", "orchestrator": "0xcc"}
        arguments = (when, "0xcc", json.dumps(payload), "FRA", "ai")
        result = Result(when.timestamp(), "ai", "FRA", "0xcc", ZEROS | payload, "p", "m/1", 1.0, 3.75)
        self.pending = OpenTransaction(self.url, INSERT, *arguments), result

    @precondition(lambda self: self.pending is not None)
    @rule()
    def the_open_transaction_commits(self) -> None:
        assert self.pending is not None
        transaction, result = self.pending
        transaction.commit()
        self.pending = None
        self.model.results.append(result)
        self.unseen_until = time.monotonic() + SEEN_WITHIN_S
        self.marks.append(time.time())

    @rule()
    def spans_are_summed_up(self) -> None:
        async def seal() -> None:
            connection = await asyncpg.connect(self.url)
            await RollupBuilder(connection, grace=timedelta(0)).run()
            await DetailBuilder(connection).run()
            await connection.close()

        run(seal())

    @rule(later_h=st.sampled_from([0, 7]))
    def the_server_is_started_again(self, later_h: float) -> None:
        self.server.stop()
        self.ahead_s += later_h * 3600
        self.start()
        self.unseen_until = 0.0
        self.postable = {region["id"] for region in self.model.regions}

    # Readers.

    def ask(self, name: str, **asked: object) -> None:
        """Compare an answer with the model's. After a change by another program, repeat until they are equal."""
        given = {each: value for each, value in asked.items() if value is not None}
        expect = getattr(self.model, name)
        path = f"/api/{name.removeprefix('listed_')}?{urlencode(given)}"
        self.expect(path, lambda answer: json_differences(answer.json(), expect(self.now, given), path))

    def ask_page(self, asked: Mapping[str, Any]) -> None:
        """As `ask`, for the leaderboard's page, or that of an orchestrator."""
        given = {name: value for name, value in asked.items() if value is not None}
        question = with_window(self.now, given)
        orchestrator = given.pop("orchestrator", None)
        path = "/"
        if orchestrator:
            path = f"/orchestrator/{orchestrator}"
            given["job_type"] = question.get(
                "job_type", "transcoding"
            )  # else the page chooses one with results
        path += f"?{urlencode(given)}"
        self.expect(
            path,
            lambda answer: differing_rows(
                shown_rows(Document(answer), of_one=bool(orchestrator)),
                self.model.page(self.now, question),
                path,
            ),
        )

    def ask_report(self, name: str, asked: Mapping[str, Any]) -> None:
        """As `ask`, for the main numbers of an answer of the analytics."""
        given = {name: value for name, value in asked.items() if value is not None}
        sent, compared = dict(given), (REPORTS | MORE_REPORTS)[name]
        own = {"orchestrators": "/api/orchestrators/{}", "badge": "/badge/{}.json"}
        path = own[name].format(sent.pop("orchestrator")) if name in own else f"/api/{name}"
        path = f"{path}?{urlencode(sent)}"

        def differences(answer: Answer) -> Iterator[str]:
            body = lines(answer.data) if name == "export" else answer.json()
            found, expected = compared(body, self.model, self.now, given)
            return json_differences(found, expected, path)

        self.expect(path, differences)

    def expect(self, path: str, differences_of: Callable[[Answer], Iterator[str]]) -> None:
        while True:
            began, answer = time.monotonic(), self.client.get(path)
            assert answer.status == 200, (path, answer.data)
            if differences := list(differences_of(answer)):
                note(f"{path}: {differences}")
                assert began < self.unseen_until, differences
                time.sleep(0.05)
            else:
                return

    @invariant()
    def answers_are_the_models(self) -> None:
        """Ask a third of the queries after each step, and all at the end."""
        self.steps += 1
        for name, asked in QUESTIONS[self.steps % 3 :: 3]:
            self.ask(name, **asked)
        self.ask_page(PAGES[self.steps % len(PAGES)])
        self.ask_report(*REPORT_QUESTIONS[self.steps % len(REPORT_QUESTIONS)])

    @rule(
        name=st.sampled_from(["aggregated_stats", "aggregated_stats", "raw_stats", "pipelines", "top_ai_score"]),
        asked=st.fixed_dictionaries(
            {"orchestrator": st.sampled_from([*ORCHESTRATORS, None]), "region": st.sampled_from(["FRA", "MDW", None])},
            optional={"job_type": st.sampled_from(["ai", "transcoding"])},
        ),
        names=st.sampled_from([*NAMES, (None, None)]),
        scored=st.sampled_from([None, "true", "false"]),
        window=st.tuples(*[st.sampled_from([None, 0, 1, 2, 3, -1, "1", "2d", "never"])] * 2),
    )  # fmt: skip
    def ask_about(
        self,
        name: str,
        asked: Mapping[str, Any],
        names: tuple[Any, Any],
        scored: str | None,
        window: tuple[Any, Any],
    ) -> None:
        """Ask any query. A number in a window is a time between two steps."""
        ends = {"1": 1.0, "2d": time.time() - 2 * 86400, "never": 4102444800.0, None: None}
        since, until = (
            ends[end] if end in ends else self.marks[end % len(self.marks)]
            for end in window
        )  # fmt: skip
        pipeline, model = names
        if name == "top_ai_score":
            self.ask(name, orchestrator=asked["orchestrator"])
        elif name == "pipelines":
            self.ask(name, region=asked["region"], since=since, until=until)
        else:
            if name == "raw_stats":
                asked = dict(asked) | {
                    "orchestrator": asked["orchestrator"] or ORCHESTRATORS[0],
                    "scored": scored,
                }
            self.ask(name, **asked, pipeline=pipeline, model=model, since=since, until=until)

    @rule(
        name=st.sampled_from(sorted(REPORTS | MORE_REPORTS)),
        asked=st.fixed_dictionaries(
            {"window": st.sampled_from(["1h", "24h", "7d", "all"])},
            optional={
                "job_type": st.sampled_from(["ai", "transcoding"]),
                "orchestrator": st.sampled_from(ORCHESTRATORS),
                "region": st.sampled_from(["FRA", "MDW"]),
                "pipeline": st.sampled_from([pipeline for pipeline, _ in NAMES]),
                "model": st.sampled_from([model for _, model in NAMES]),
            },
        ),
    )
    def ask_for_a_report(self, name: str, asked: Mapping[str, Any]) -> None:
        """Ask for an answer of the analytics with any scope."""
        if name == "orchestrators":
            asked = {"orchestrator": ORCHESTRATORS[0]} | dict(asked)
        if name == "history":
            asked = dict(asked) | {"window": "7d"}
        if name == "compare":
            asked = {each: value for each, value in asked.items() if each != "orchestrator"}
            asked |= {"orchestrators": ",".join(ORCHESTRATORS[1::-1])}
        if name == "export":
            asked = {"what": "results"} | dict(asked)
        if name == "badge":
            asked = dict(asked) | {"metric": "score", "orchestrator": ORCHESTRATORS[1]}
        if name in ("coverage", "uptime"):
            asked = {each: value for each, value in asked.items() if each != "window"}
        self.ask_report(name, asked)

    @rule(
        asked=st.fixed_dictionaries(
            {},
            optional={
                "job_type": st.sampled_from(["ai", "ai", "transcoding"]),
                "orchestrator": st.sampled_from(ORCHESTRATORS),
                "region": st.sampled_from(["FRA", "MDW"]),
                "pipeline": st.sampled_from([pipeline for pipeline, _ in NAMES]),
                "model": st.sampled_from([model for _, model in NAMES]),
            },
        ),
        window=st.sampled_from(["1h", "24h", "7d", "30d", "all", None])
        | st.tuples(*[st.sampled_from([None, 0, 1, 2, 3, -1])] * 2),
    )
    def look_at_a_page(
        self, asked: Mapping[str, Any], window: str | tuple[int | None, int | None] | None
    ) -> None:
        """Ask for a page with any selection. Two numbers are times between steps, as since and until."""
        if isinstance(window, tuple):
            ends = [None if end is None else self.marks[end % len(self.marks)] for end in window]
            self.ask_page({**asked, "since": ends[0], "until": ends[1]})
        else:
            self.ask_page({**asked, "window": window})
