"""Logs: one JSON object a line, or words and colours when a person watches."""

import io
import logging
import math
import os
import re
import sys
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TextIO, cast

import structlog

_LEVELS = {"trace": 5, "debug": 10, "info": 20, "warn": 30, "error": 40}


# What a stranger writes into a path must not command the terminal it is shown on.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def _without_controls(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The event with its texts' control characters written out as escapes."""
    return {
        name: _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], value)
        if isinstance(value, str) and name != "exception"
        else value
        for name, value in event.items()
    }


# Of the places that an error came through.
_PLACES = 8


def _without_trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """The event with the kind of its error and the places it came through, innermost first.

    Neither its message nor any source: those quote SQL, hosts and rows.
    """
    info = event.pop("exc_info", None)
    error = (
        info if isinstance(info, BaseException) else info[1] if isinstance(info, tuple) else sys.exc_info()[1]
    )
    if info and error is not None:
        frames = reversed(traceback.extract_tb(error.__traceback__))
        places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames][:_PLACES]
        event["error"] = type(error).__name__
        event["where"] = " ".join(places)
    return event


class _Lossy(io.TextIOBase):
    """A text stream that drops what can't be written: a closed terminal or a full disk stops nothing."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write, or drop."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or drop."""
        with suppress(OSError, ValueError):
            self._stream.flush()


# Lines that repeat each other: a minute after the first, then two, four, eight minutes later, up to an hour. What did not
# happen for ten minutes is logged at once again.
_FIRST_INTERVAL_S, _LAST_INTERVAL_S, _QUIET_S = 60.0, 3600.0, 600.0
_MOST_KEYS = 500

_SUMMARISED = frozenset({"warning", "error", "critical"})


class Summary:
    """A processor that passes a repeated warning or error once, and then at growing intervals with a count.

    `repeated` is how many were left out before a line. Warnings repeat each other when they have the same texts, whatever
    numbers they have; errors when everything is the same.

    clock -- seconds that only grow
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, _Repeats] = OrderedDict()

    def __call__(self, _: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """The event, which has its level; raises DropEvent for one to be left out."""
        if (level := event.get("level")) not in _SUMMARISED:
            return event
        key = repr([
            (name, value)
            for name, value in sorted(event.items())
            if name != "timestamp" and not (level == "warning" and isinstance(value, int | float))
        ])  # fmt: skip
        repeats, now = self._seen.setdefault(key, _Repeats()), self._clock()
        self._seen.move_to_end(key)
        if len(self._seen) > _MOST_KEYS:
            self._seen.popitem(last=False)
        was_quiet, repeats.last_at = now - repeats.last_at > _QUIET_S, now
        if not was_quiet and now < repeats.next_at:
            repeats.left_out += 1
            raise structlog.DropEvent
        repeats.interval_s = _FIRST_INTERVAL_S if was_quiet else min(repeats.interval_s * 2, _LAST_INTERVAL_S)
        repeats.next_at = now + repeats.interval_s
        if repeats.left_out:
            event["repeated"], repeats.left_out = repeats.left_out, 0
        return event


class _Repeats:
    """Of one line: when it came last, when it may be written again, how many were left out since it was."""

    def __init__(self) -> None:
        self.last_at = self.next_at = -math.inf
        self.interval_s = 0.0
        self.left_out = 0


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """False for the future that asyncpg (0.32) leaves behind when connecting is broken off before TLS is settled."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, ConnectionError) and str(error) == "unexpected connection_lost() call")


def configure_logs(level: str, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Send structlog's and the standard library's events to standard error, at `level` and above.

    Traces are for debug and trace; above, an error is its kind and where it came from, and lines that repeat each
    other are summarised.

    clock -- as Summary's
    """
    if sys.stderr is None:  # closed: by `2>&-`, some supervisors
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    for_people = sys.stderr.isatty()
    has_colors = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    output = cast("TextIO", _Lossy(sys.stderr))
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if for_people else "iso", utc=not for_people),
        structlog.processors.StackInfoRenderer(),
    ]
    threshold = _LEVELS[level]
    if threshold > logging.DEBUG:
        shared.append(_without_trace)
    renderer: list[structlog.typing.Processor] = (
        [
            _without_controls,
            structlog.dev.ConsoleRenderer(
                colors=has_colors,
                sort_keys=False,
                pad_event_to=0,
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
        if for_people
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    summary = [Summary(clock)] if threshold > logging.DEBUG else []
    structlog.configure(
        processors=[*shared, *summary, *renderer],
        wrapper_class=structlog.make_filtering_bound_logger(max(threshold, logging.DEBUG)),
        logger_factory=structlog.WriteLoggerFactory(output),
        cache_logger_on_first_use=False,
    )
    logging.getLogger("asyncio").addFilter(_is_worth_a_line)
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderer],
        )
    )
    # The libraries' own chatter begins a level above ours.
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)
    logging.getLogger("uvicorn.access").handlers.clear()
