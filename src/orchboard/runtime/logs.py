"""Logs: one JSON object per line; readable text, with colours, on a terminal."""

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


# Control characters in request paths must not reach the terminal.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def _without_controls(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace control characters in texts with escapes."""
    return {
        name: _CONTROLS.sub(lambda match: ascii(match[0])[1:-1], value)
        if isinstance(value, str) and name != "exception"
        else value
        for name, value in event.items()
    }


# Number of stack frames in a log line.
_FRAMES = 8


def _without_trace(_: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Replace a traceback with the error's type and its stack frames, innermost first.

    The error's message and source lines are left out, because they quote SQL, hosts and rows.
    """
    info = event.pop("exc_info", None)
    error = (
        info if isinstance(info, BaseException) else info[1] if isinstance(info, tuple) else sys.exc_info()[1]
    )
    if info and error is not None:
        frames = reversed(traceback.extract_tb(error.__traceback__))
        where = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames][:_FRAMES]
        event["error"] = type(error).__name__
        event["where"] = " ".join(where)
    return event


class _Lossy(io.TextIOBase):
    """A text stream that drops output on errors, so that a closed terminal or a full disk does not stop the server."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write the text, or drop it."""
        with suppress(OSError, ValueError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or ignore the error."""
        with suppress(OSError, ValueError):
            self._stream.flush()


# Minimum intervals between equal lines: doubled from the first value to the last. After a quiet time, a line is written at
# once again.
_FIRST_INTERVAL_S, _LAST_INTERVAL_S, _QUIET_S = 60.0, 3600.0, 600.0
_MOST_KEYS = 500

_SUMMARISED = frozenset({"warning", "error", "critical"})


class Summary:
    """A structlog processor that passes a repeated warning or error once, and then at growing intervals with a count.

    The field `repeated` is the number of lines left out before this one. Warnings are equal when their texts are, whatever
    their numbers; errors when all their fields are.

    clock -- monotonic, in seconds
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: OrderedDict[str, _Repeats] = OrderedDict()

    def __call__(self, _: object, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        """Return the event, or raise DropEvent to leave it out. The event must have its level."""
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
    """The history of one line: when it last occurred, when it may be written again, how many were left out since."""

    def __init__(self) -> None:
        self.last_at = self.next_at = -math.inf
        self.interval_s = 0.0
        self.left_out = 0


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """False for the exception of a future that asyncpg (0.32) abandons when connecting is cancelled before TLS is negotiated."""
    error = record.exc_info[1] if record.exc_info else None
    return not (isinstance(error, ConnectionError) and str(error) == "unexpected connection_lost() call")


def configure_logs(level: str, *, clock: Callable[[], float] = time.monotonic) -> None:
    """Send the events of structlog and of the standard library to standard error, at `level` and above.

    Tracebacks are written at debug and trace. At other levels an error is its type and stack frames, and repeated lines are
    summarised.

    clock -- see Summary
    """
    if sys.stderr is None:  # closed by `2>&-` or a supervisor
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - open until the process ends
    is_terminal = sys.stderr.isatty()
    has_colors = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    output = cast("TextIO", _Lossy(sys.stderr))
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="%H:%M:%S" if is_terminal else "iso", utc=not is_terminal),
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
        if is_terminal
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
    # Libraries log from warning on, because their lower levels are too frequent.
    logging.basicConfig(handlers=[handler], level=max(threshold, logging.WARNING), force=True)
    logging.getLogger("uvicorn.access").handlers.clear()
