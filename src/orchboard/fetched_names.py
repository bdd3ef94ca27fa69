"""Copies the names of orchestrators at NAMES_URL into the database."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from orchboard import limits
from orchboard.errors import Refusal
from orchboard.runtime.supervised_tasks import TaskHealth
from orchboard.store.directories.names import NameDirectory

if TYPE_CHECKING:
    from orchboard.orchestrator_names import NamesDocument

log = structlog.get_logger(__name__)


class FetchedNames:
    """The copy of one document.

    url -- empty: there is none, and nothing is done
    """

    def __init__(self, url: str, names: NameDirectory) -> None:
        self._url = url
        self._names = names
        self._logged = 0  # entries that were skipped

    async def update(self) -> None:
        """Fetch the document and store its names; skip and log invalid entries.

        Raises BadInputError if it can't be fetched or read, and DatabaseUnavailableError. Nothing is changed then.
        """
        if not self._url:
            return
        found = await asyncio.to_thread(_fetch_names, self._url)
        stored, removed = await self._names.replace_fetched(found.names)
        skipped = len(found.problems)
        if skipped != self._logged and skipped:
            log.warning("names of NAMES_URL skipped", skipped=skipped, first=found.problems[0])
        self._logged = skipped
        if stored or removed:
            log.info("names of NAMES_URL stored", stored=stored, removed=removed)

    async def try_update(self) -> None:
        """Like `update`, but log a failure."""
        try:
            await self.update()
        except Refusal as error:
            log.warning("NAMES_URL could not be copied", error=str(error))

    async def keep(self, health: TaskHealth, *, interval_s: float) -> None:
        """Update the copy until cancelled."""
        while True:
            try:
                await self.update()
                health.succeed()
            except Refusal as error:
                health.fail(str(error))
            await asyncio.sleep(interval_s)


def _fetch_names(url: str) -> NamesDocument:
    from orchboard.document import fetch_document  # imports an HTTP client, which takes 26 ms
    from orchboard.orchestrator_names import read_names

    return read_names(fetch_document(url, timeout_s=limits.DOCUMENT_TIMEOUT_S))
