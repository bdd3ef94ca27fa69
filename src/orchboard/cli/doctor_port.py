"""What `orchboard doctor` reports about the port, and about a server that listens on it."""

import errno
import os
import socket

from orchboard.cli.settings import reachable_host
from orchboard.client import Client, ClientError
from orchboard.config import Settings
from orchboard.store.diagnostics.findings import Finding, Level

ANSWER_S = 10.0
"""Limit for an answer of the server that uses the port."""


def examine_port(settings: Settings) -> Finding:
    """The finding about HOST and PORT: free, used by a leaderboard server, or used by another program."""
    address = f"{settings.host} port {settings.port}"
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        socket.create_server((settings.host, settings.port), family=family).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return _examine_server(settings, address)
        says = f"can't listen on {address}: {os.strerror(error.errno or 0)}"
        remedy = "Set HOST to an address of this machine, and PORT to a number above 1023."
        return Finding(Level.ERROR, "port", says, remedy)
    return Finding(Level.OK, "port", f"{address} is free")


def _examine_server(settings: Settings, address: str) -> Finding:
    """The finding about the program that uses the port: a leaderboard server answers /api/health, healthy or not."""
    url = f"http://{reachable_host(settings.host)}:{settings.port}"
    with Client(url, timeout=ANSWER_S, max_retries=0) as client:
        try:
            health = client.health()
        except ClientError:
            says = f"{address} is in use by another program"
            return Finding(Level.ERROR, "port", says, "Set PORT to another port, or stop that program.")
        problems = _problems(client)
    advice = f"See {url}/api/health"
    if problems:
        says = f"orchboard is running on {address} and reports: {'; '.join(problems)}"
        return Finding(Level.WARNING, "port", says, advice)
    if not health.postgres.ok:
        says = f"orchboard is running on {address}, without its database"
        return Finding(Level.WARNING, "port", says, advice)
    return Finding(Level.OK, "port", f"orchboard is running on {address} and is healthy")


def _problems(client: Client) -> list[str]:
    """Errors and notes of the server's own checks, which see more than doctor, such as failing writes."""
    try:
        checks = client.readyz().checks
    except ClientError:
        return []  # the Go server has no /readyz
    return [text for check in checks if (text := check.error or check.note)]
