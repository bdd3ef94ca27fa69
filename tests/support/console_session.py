"""Runs the commands of a document in a new home directory, with servers on free ports, and compares their output."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.support.console_blocks import ROOT, Command

_SERVES = re.compile(r"(?:[A-Z_]+=\S+ )*(?:make|\S*orchboard) (?:serve|demo)\b")
_PORT = re.compile(r"\b80\d\d\b")
_LIMIT_S = 240
_DOCUMENTS = ROOT / "tests" / "documents"

# Text that differs from run to run, and its replacement on both sides of the comparison.
VARYING = [
    (r"(?m)^\w+: [\d,]+ of [\d,]+ [\w ]+$\n?", ""),  # progress, when the machine is slow
    (r"ORCHBOARD_DATA=\S+ (?=\S*orchboard )", ""),  # root's data is not where a user's is
    (r"\S*python\S* -m orchboard|\S+/bin/orchboard(?= )", "orchboard"),
    (r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)?)?", "<time>"),
    (r"\b\d\d:\d\d:\d\d\b", "<time>"),
    (r"whsec_[\w+/=]+", "<key>"),
    (r"\b[0-9a-f]{64}\b", "<hash>"),
    (r"0x(?!0{20})[0-9a-f]{40}\b", "<orchestrator>"),
    (r"[\d.,]+ (?:s|ms|seconds?|minutes?)\b", "<duration>"),
    (r"[\d,]+ a second", "<rate>"),
    (r"\b([1-9][\d,]*) of \1\b", "<all> of <all>"),
    (r"\d+ rollup buckets", "<some> rollup buckets"),
    (r'(version|"latest":) \d+', r"\1 <latest>"),  # of the schema: each migration would change the documents
    (r'"version": \d+', '"version": <latest>'),
    (r"[\d.]+ (?:[kKMG]i?B)\b", "<size>"),
    (r"-?\d+\.\d+(?=\s|,|$)", "<number>"),
    (r"─+", "─"),
    (r"[ \t]+", " "),
]


class Session:
    """Runs commands as a reader types them. A context manager, which stops the started servers.

    home -- the home directory; directory -- the current directory
    ports -- documented ports and their replacements; other ports 80xx are replaced by free ones
    variables -- additional environment variables
    varying -- patterns of text that may differ, and replacements
    limit_s -- for each command
    """

    def __init__(
        self,
        home: Path,
        directory: Path,
        *,
        ports: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        varying: Sequence[tuple[str, str]] = VARYING,
        limit_s: float = _LIMIT_S,
    ) -> None:
        self._home, self._directory = home, directory
        self._ports: dict[str, str] = dict(ports or {})
        self._varying, self._limit_s = varying, limit_s
        self._servers: list[subprocess.Popen[str]] = []
        programs = home / ".bin"
        programs.mkdir()
        program = programs / "orchboard"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m orchboard "$@"\n')
        program.chmod(0o755)
        self._environment = {
            "PATH": f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT / "src"),
            "PYTHONUNBUFFERED": "1",
            "LANG": "C.UTF-8",
            "HOME": str(home),
            "ORCHBOARD_DATA": str(home / ".local/share/orchboard"),
            "PORT": self._port("8080"),
            "ORCHBOARD_URL": f"http://127.0.0.1:{self._port('8080')}",
            "LOG_LEVEL": "error",
            "DOCUMENTS": str(_DOCUMENTS),
            **(variables or {}),
        }

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        for server in reversed(self._servers):
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGINT)
            with server:
                server.communicate(timeout=self._limit_s)

    def prepare(self, line: str) -> str | None:
        """Run a command that a reader does not see. Returns its output if it fails, else None."""
        return self.run(Command(f"{line} || kill -9 $$" if not _SERVES.match(line) else line, ("…",)))

    def run(self, command: Command) -> str | None:
        """Run a command. Returns the difference from the document; None if there is none."""
        line = self._localized(command.line)
        expected = self._pattern(command.output)
        process = subprocess.Popen(
            ["bash", "-c", line], cwd=self._directory, env=self._environment, text=True, process_group=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        timer = threading.Timer(self._limit_s, os.killpg, (process.pid, signal.SIGKILL))
        timer.start()
        try:
            if not _SERVES.match(line):
                output, _ = process.communicate()
                return self._difference(output, expected, process.returncode)
            return self._difference(self._read_until(process, expected), expected, process.poll())
        finally:
            timer.cancel()

    def _read_until(self, server: "subprocess.Popen[str]", expected: "re.Pattern[str]") -> str:
        """A server's output until it matches the documented output, or the server ends."""
        self._servers.append(server)
        assert server.stdout is not None
        output = ""
        while line := server.stdout.readline():
            output += line
            if expected.fullmatch(self._normalized(output)):
                return output
        server.wait()
        return output

    def _difference(self, output: str, expected: "re.Pattern[str]", status: int | None) -> str | None:
        plain = self._normalized(output)
        if "Traceback" in output or status == -signal.SIGKILL or not expected.fullmatch(plain):
            return f"it says:\n{output}\ncompared as:\n{plain}"
        return f"it fails with {status} and says nothing" if status and not output else None

    def _normalized(self, output: str) -> str:
        return normalized(
            output.replace(str(self._home), "~").replace(str(ROOT), "/home/you/orchboard"), self._varying
        )

    def _pattern(self, documented: Sequence[str]) -> "re.Pattern[str]":
        """A pattern for the documented output. A line `…` matches any lines, `…` within a line any text."""
        lines = self._normalized(self._localized("\n".join(documented))).splitlines()
        return re.compile(
            "".join(
                r"(?:.*\n)*" if line.strip() == "…" else re.escape(line).replace("…", ".*") + r"\n"
                for line in lines
            )
        )

    def _localized(self, text: str) -> str:
        """Replace the documented directories and ports by those of the session."""
        text = _PORT.sub(lambda port: self._port(port[0]), text)
        return text.replace("/home/you/orchboard", str(ROOT)).replace("/home/you", str(self._home))

    def _port(self, documented: str) -> str:
        if documented not in self._ports:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._ports[documented] = str(free.getsockname()[1])
        return self._ports[documented]


def normalized(text: str, varying: Sequence[tuple[str, str]]) -> str:
    """Text with replacements for what differs from run to run, without trailing spaces."""
    for pattern, word in varying:
        text = re.sub(pattern, word, text)
    return "".join(f"{line.rstrip()}\n" for line in text.rstrip().splitlines())
