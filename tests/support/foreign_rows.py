"""A Hypothesis strategy of rows that other programs may store, and their effect on answers."""

from typing import Any

from hypothesis import strategies as st
from msgspec import Struct

from tests.support.leaderboard_model import ZEROS, Result

# Members: their JSON, what scores take them for, what raw_stats gives. None far below zero: a sum of 1e100, -1e100
# and 0.5 is whatever the order makes it.
NUMBERS = [
    ("0.5", 0.5, 0.5), ("1", 1, 1), ('" 1 "', 1, 1), ('"0.25"', 0.25, 0.25), ("null", 0, 0), ("true", 0, 0),
    ("[1]", 0, 0), ('{"a":1}', 0, 0), ('"NaN"', 0, 0), ('"x"', 0, 0), ('""', 0, 0), ("1e400", 1e100, 0),
    ("-25", -25, -25), ('"1e400"', 1e100, 0), ("1e-400", 0, 0),
]  # fmt: skip
TEXTS = [('"p"', "p", "p"), ('"m/1"', "m/1", "m/1"), ("5", "5", ""), ("true", "true", ""), ("null", "", ""),
         ('[1, "a"]', '[1, "a"]', ""), ('"\U0001f600"', "\U0001f600", "\U0001f600")]  # fmt: skip
OTHERS = [('{"errors": 5, "timestamp": "9"}', {"timestamp": 9}), ('{"errors": [null, {"count": "2"}]}',
          {"errors": [{"error_code": "", "count": 0}, {"error_code": "", "count": 2}]}),
          ('{"region": {}, "orchestrator": 1}', {}), ('{"region": "ELSE", "orchestrator": "0xFF", "deep": [[{}]]}',
          {"region": "ELSE", "orchestrator": "0xff", "deep": [[{}]]})]  # fmt: skip
# The code and count of each error: null is none.
ERRORS = {OTHERS[1][0]: (("", 2),)}
NO_OBJECTS = ["[1, 2]", "5", "null", '"text"', "true", "[]"]


class ForeignRow(Struct, frozen=True):
    """A row of `events`. counted -- the values used in scores; row -- the result in raw_stats"""

    payload: str
    orchestrator: str
    job_type: str
    hours_ago: float
    counted: dict[str, Any]
    row: dict[str, Any]

    def result(self, received: float) -> Result:
        """The row as a result of the model."""
        return Result(received, self.job_type, "FRA", self.orchestrator.lower(), self.row, **self.counted)


def _foreign(
    members: dict[str, tuple[str, Any, Any]], rest: tuple[str, Any], orchestrator: str, job_type: str, hours_ago: float
) -> ForeignRow:  # fmt: skip
    text, others = rest
    if others is None:
        row = ZEROS | {"region": "FRA", "orchestrator": orchestrator.lower()}
        return ForeignRow(text, orchestrator, job_type, hours_ago, {}, row)
    parts = [f'"{name}": {text}' for name, (text, _, _) in members.items()]
    payload = "{" + ", ".join(filter(None, [*parts, text[1:-1]])) + "}"
    counted = {name: meant for name, (_, meant, _) in members.items()} | {"errors": ERRORS.get(text, ())}
    row = ZEROS | {name: given for name, (_, _, given) in members.items()} | others
    return ForeignRow(payload, orchestrator, job_type, hours_ago, counted, row)


foreign_rows = st.builds(
    _foreign,
    st.fixed_dictionaries(
        {},
        optional={
            **dict.fromkeys(("success_rate", "round_trip_time", "seg_duration"), st.sampled_from(NUMBERS)),
            **dict.fromkeys(("pipeline", "model"), st.sampled_from(TEXTS)),
        },
    ),
    st.sampled_from([("{}", {}), *OTHERS, *((text, None) for text in NO_OBJECTS)]),
    st.sampled_from(["", "0x" + "AA" * 20, "0x" + "aA" * 20, "0x" + "bb" * 20, "odd"]),
    st.sampled_from(["ai", "transcoding"]),
    st.sampled_from([0, 0, 0.3, 5, 30, 72, 960]),
)
