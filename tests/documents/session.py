"""A shell session that runs the commands of a document: a home directory of its own, servers on free ports."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.documents.blocks import ROOT, Command

_SERVES = re.compile(r"(?:[A-Z_]+=\S+ )*(?:make|\S*orchboard) (?:serve|demo)\b")
_PORT = re.compile(r"\b80\d\d\b")
_LONGEST_S = 60
# What differs from run to run. Each is the same on both sides of the comparison.
_VARYING = [
    (r"(?m)^\w+: [\d,]+ of [\d,]+ [\w ]+$\n?", ""),  # progress, when the machine is slow
    (r"ORCHBOARD_DATA=\S+ (?=\S*orchboard )", ""),  # root's data is not where a user's is
    (r"\S*python\S* -m orchboard|\S+/bin/orchboard(?= )", "orchboard"),
    (r"\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\+00:00)?)?", "<time>"),
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
    """Runs commands as a reader types them. `with` it: what it started is stopped at the end."""

    def __init__(self, home: Path, directory: Path) -> None:
        self._home, self._directory = home, directory
        self._ports: dict[str, str] = {}
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
            "DOCUMENTS": str(Path(__file__).parent),
        }

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        for server in reversed(self._servers):
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGINT)
            with server:
                server.communicate(timeout=_LONGEST_S)

    def prepare(self, line: str) -> str | None:
        """Run what a reader does not see; what it says when it fails, None when it does not."""
        return self.run(Command(f"{line} || kill -9 $$" if not _SERVES.match(line) else line, ("…",)))

    def run(self, command: Command) -> str | None:
        """Run it; what differs from the document, None when nothing does."""
        line = self._here(command.line)
        expected = self._pattern(command.output)
        process = subprocess.Popen(
            ["bash", "-c", line], cwd=self._directory, env=self._environment, text=True, process_group=0,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        too_long = threading.Timer(_LONGEST_S, os.killpg, (process.pid, signal.SIGKILL))
        too_long.start()
        try:
            if not _SERVES.match(line):
                said, _ = process.communicate()
                return self._difference(said, expected, process.returncode)
            return self._difference(self._first_words(process, expected), expected, process.poll())
        finally:
            too_long.cancel()

    def _first_words(self, server: "subprocess.Popen[str]", expected: "re.Pattern[str]") -> str:
        """What a server says until it has said all that the document shows, or has ended."""
        self._servers.append(server)
        assert server.stdout is not None
        said = ""
        while line := server.stdout.readline():
            said += line
            if expected.fullmatch(self._plain(said)):
                return said
        server.wait()
        return said

    def _difference(self, said: str, expected: "re.Pattern[str]", status: int | None) -> str | None:
        plain = self._plain(said)
        if "Traceback" in said or status == -signal.SIGKILL or not expected.fullmatch(plain):
            return f"it says:\n{said}\ncompared as:\n{plain}"
        return f"it fails with {status} and says nothing" if status and not said else None

    def _plain(self, said: str) -> str:
        return plain(said.replace(str(self._home), "~").replace(str(ROOT), "/home/you/orchboard"))

    def _pattern(self, output: Sequence[str]) -> "re.Pattern[str]":
        """What matches the documented output: `…` on a line of its own is any lines, within a line any text."""
        lines = self._plain(self._here("\n".join(output))).splitlines()
        return re.compile(
            "".join(
                r"(?:.*\n)*" if line.strip() == "…" else re.escape(line).replace("…", ".*") + r"\n"
                for line in lines
            )
        )

    def _here(self, text: str) -> str:
        """A document's text with this session's directories and ports."""
        text = _PORT.sub(lambda port: self._port(port[0]), text)
        return text.replace("/home/you/orchboard", str(ROOT)).replace("/home/you", str(self._home))

    def _port(self, documented: str) -> str:
        if documented not in self._ports:
            with socket.create_server(("127.0.0.1", 0)) as free:
                self._ports[documented] = str(free.getsockname()[1])
        return self._ports[documented]


def plain(text: str) -> str:
    """Text without what differs from run to run."""
    for varying, word in _VARYING:
        text = re.sub(varying, word, text)
    return "".join(f"{line.rstrip()}\n" for line in text.rstrip().splitlines())
