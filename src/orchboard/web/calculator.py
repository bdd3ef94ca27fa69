"""The calculators of GET /methods: one score worked out from numbers in the URL, with the project's own formulas."""

from collections.abc import Mapping
from urllib.parse import urlencode

from msgspec import Struct
from starlette.datastructures import QueryParams

from orchboard.reports.orchestrator import Term
from orchboard.stats import JobType

_DAY_S = 86_400.0
_SHOWN_CHARACTERS = 40


class Field(Struct, frozen=True):
    """A number that the reader can change.

    name -- of the parameter, as in a result; label -- in the form; unit -- under the label
    default -- of the example; most -- the largest allowed value; the smallest is 0
    """

    name: str
    label: str
    unit: str
    default: float
    most: float = _DAY_S


_SUCCESS_RATE = Field("success_rate", "Success rate", "from 0 to 1", 0.98, 1.0)

FIELDS: Mapping[JobType, tuple[Field, ...]] = {
    JobType.TRANSCODING: (
        _SUCCESS_RATE,
        Field("seg_duration", "Segment duration", "mean, in seconds", 2.0),
        Field("round_trip_time", "Round trip", "mean, in seconds", 1.25),
    ),
    JobType.AI: (
        _SUCCESS_RATE,
        Field("round_trip_time", "Round trip", "mean, in seconds", 6.0),
        Field("median_rtt", "Network median", "in seconds", 3.0),
    ),
}
"""The fields of each calculator, in the order of the formula."""


class Answer(Struct, frozen=True):
    """A score that was worked out.

    values -- the numbers put in, by name
    ratio -- transcoding: round trip relative to the segment's duration; AI: relative to the median; None if that is 0
    speed, score -- by the scoring functions
    """

    values: Mapping[str, float]
    ratio: float | None
    speed: float
    score: float


class Calculator(Struct, frozen=True):
    """One calculator as it is shown.

    texts -- what each field contains, by name
    problems -- a sentence for each field that can't be read, by name
    answer -- None if there are problems
    """

    job_type: JobType
    texts: Mapping[str, str]
    problems: Mapping[str, str]
    answer: Answer | None

    @property
    def fields(self) -> tuple[Field, ...]:
        """Its fields."""
        return FIELDS[self.job_type]

    @property
    def is_example(self) -> bool:
        """Whether it has the values that the page begins with."""
        return all(self.texts[field.name] == format_value(field.default) for field in self.fields)

    @property
    def url(self) -> str:
        """The URL of this calculation: only what differs from the default values."""
        values = self.answer.values if self.answer else {}
        changed = {
            field.name: format_value(values[field.name])
            for field in self.fields
            if values.get(field.name, field.default) != field.default
        }
        if changed and self.job_type is JobType.AI:
            changed = {"job_type": "ai", **changed}
        return "/methods" + (f"?{urlencode(changed)}" if changed else "")


def calculator(job_type: JobType, params: QueryParams) -> Calculator:
    """The calculator of a job type. Absent and empty parameters have their default values."""
    values, texts, problems = {}, {}, {}
    for field in FIELDS[job_type]:
        text = next(iter(params.getlist(field.name)), "").strip()
        try:
            values[field.name] = read_value(field, text)
            texts[field.name] = format_value(values[field.name])
        except ValueError as error:
            problems[field.name] = str(error)
            texts[field.name] = text[:_SHOWN_CHARACTERS].replace("\x00", "")
    return Calculator(job_type, texts, problems, None if problems else calculate(job_type, values))


def term_url(job_type: JobType, term: Term) -> str | None:
    """The URL of the calculation of a term of a score; None if the calculator does not take its numbers."""
    reference = "median_rtt" if job_type is JobType.AI else "seg_duration"
    values = {
        "success_rate": round(term.success_rate, 6),
        "round_trip_time": round(term.round_trip_time, 6),
        reference: round(term.reference or 0.0, 6),
    }
    if not all(0 <= values[field.name] <= field.most for field in FIELDS[job_type]):
        return None
    return f"{Calculator(job_type, {}, {}, calculate(job_type, values)).url}#{job_type}-example"


def read_value(field: Field, text: str) -> float:
    """The value of a field; its default if the text is empty. Raises ValueError, whose message names the field.

    >>> read_value(FIELDS[JobType.AI][0], "0.5"), read_value(FIELDS[JobType.AI][0], "0,5")
    (0.5, 0.5)
    """
    try:
        value = float(text.replace(",", ".") or field.default)  # of readers whose decimal separator it is
    except ValueError:
        value = -1.0
    if not 0 <= value <= field.most:  # also not NaN
        shown = text[:_SHOWN_CHARACTERS]
        raise ValueError(f"{field.label} must be a number from 0 to {field.most:.0f}, not {shown!r}.")
    return value + 0.0


def format_value(value: float) -> str:
    """A number as it is put in: without rounding, and without zeros at its end.

    >>> format_value(2.0), format_value(0.98), format_value(86400.0)
    ('2', '0.98', '86400')
    """
    return repr(value).removesuffix(".0")


def calculate(job_type: JobType, values: Mapping[str, float]) -> Answer:
    """The score of one group of results with these means."""
    from orchboard.scoring import score_ai, score_transcoding  # at first use: numpy takes 0.2 s

    success_rate, round_trip_time = [values["success_rate"]], [values["round_trip_time"]]
    if job_type is JobType.AI:
        reference = values["median_rtt"]
        scores = score_ai(success_rate, round_trip_time, [reference])
    else:
        reference = values["seg_duration"]
        scores = score_transcoding(success_rate, [reference], round_trip_time)
    ratio = values["round_trip_time"] / reference if reference else None
    return Answer(values, ratio, float(scores.round_trip_score[0]), float(scores.score[0]))
