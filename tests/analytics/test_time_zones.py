"""Time zones do not depend on the machine's data."""

import os
import subprocess
import sys

_SCRIPT = """
from datetime import UTC, datetime
import zoneinfo
from orchboard.analytics.buckets import parse_zone
assert zoneinfo.TZPATH == ()
for name, hours in (("Europe/Berlin", 2), ("America/New_York", -4), ("Asia/Kolkata", 5.5)):
    offset = datetime(2026, 7, 1, tzinfo=UTC).astimezone(parse_zone(name)).utcoffset()
    assert offset.total_seconds() == hours * 3600, name
"""


def test_iana_time_zones_are_known_without_those_of_the_system() -> None:
    environment = {**os.environ, "PYTHONTZPATH": ""}
    subprocess.run([sys.executable, "-c", _SCRIPT], env=environment, check=True, timeout=60)
