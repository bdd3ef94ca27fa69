"""Every call of the API as steps that either client carries out. No input or output."""

import uuid
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from orchboard.client.answers import (
    RawResult,
    ServerRegion,
    decode_pipelines,
    decode_raw,
    decode_regions,
    decode_scores,
    decode_top,
)
from orchboard.client.attempts import POST_PATH
from orchboard.client.errors import ClientError, NotSentError, RefusedError
from orchboard.client.exchange import Steps
from orchboard.client.headers import header_text
from orchboard.client.report_calls import ReportCalls
from orchboard.client.requester import HEALTH, Moment, decoder_of, seconds_of
from orchboard.server_state import Alive, Health, Readiness, UpkeepDone
from orchboard.stats import JobType, Pipeline, ScoresByPair, Stats, TopScore

Sendable: TypeAlias = Stats | Mapping[str, Any] | bytes
"""A result to post: as a struct, as a mapping of its members, or as JSON that is sent byte by byte."""


class Posted(Struct, frozen=True):
    """What became of one result of `post_many`.

    idempotency_key -- it was sent with; empty when it was not sent
    error -- None when it is stored
    """

    idempotency_key: str
    error: ClientError | None


class Calls(ReportCalls):
    """The calls of one client. The methods are documented for the users of Client and AsyncClient."""

    def post(self, result: Sendable, *, key: str | None = None, timeout: float | None = None) -> Steps[None]:
        """Store one result. Returns when the server has said `ok`.

        The request is signed in both forms, so that any server of the contract accepts it.

        key -- the idempotency key; None: a new UUID. Empty: none is sent, only the bare signature, and a request that
        the server may have received is not repeated
        Raises ClientError; BadInputError when the client has no secret or the key cannot be sent.
        """
        key = str(uuid.uuid4()) if key is None else header_text("the idempotency key", key)
        body = result if isinstance(result, bytes) else msgspec.json.encode(result)
        call = self._call("POST", POST_PATH, self._headers.signer(body, key), timeout, body=body, key=key)
        response = yield from call.steps()
        if response.body.strip() != b"ok":
            raise call.refused(response, f"{self._server.url} did not say ok: is it a leaderboard server?")

    def post_many(self, results: Iterable[Sendable], *, timeout: float | None = None) -> Steps[list[Posted]]:
        """Store results one after the other, over one connection; what became of each, in their order.

        A refused result does not stop the others. After an error of another kind, or a refused signature, the
        remaining results are not sent: their error is NotSentError.

        timeout -- seconds for each result
        """
        posted: list[Posted] = []
        stopped = False
        for result in results:
            key = "" if stopped else str(uuid.uuid4())
            error: ClientError | None = NotSentError("not sent after an earlier error") if stopped else None
            if not stopped:
                try:
                    yield from self.post(result, key=key, timeout=timeout)
                except ClientError as failure:
                    error = failure
                    stopped = not isinstance(failure, RefusedError) or failure.is_unauthenticated
            posted.append(Posted(key, error))
        return posted

    def aggregated_stats(
        self,
        *,
        orchestrator: str | None = None,
        region: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        pipeline: str | None = None,
        model: str | None = None,
        job_type: JobType | str | None = None,
        timeout: float | None = None,
    ) -> Steps[ScoresByPair]:
        """The scores, `{orchestrator: {region: Score}}`; empty when there are none.

        `pipeline` and `model` come together. Without them: transcoding, unless `job_type` is "ai".
        """
        params = {
            "orchestrator": orchestrator,
            "region": region,
            "since": seconds_of(since),
            "until": seconds_of(until),
            "pipeline": pipeline,
            "model": model,
            "job_type": job_type,
        }
        return (yield from self._read("/api/aggregated_stats", decode_scores, params, timeout))

    def raw_stats(
        self,
        orchestrator: str,
        *,
        region: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        pipeline: str | None = None,
        model: str | None = None,
        job_type: JobType | str | None = None,
        scored: bool | None = None,
        timeout: float | None = None,
    ) -> Steps[dict[str, list[RawResult]]]:
        """The stored results of one orchestrator, `{region: [RawResult, …]}`, newest first.

        scored -- True: only those that count for scores; False: only the others. The Go server ignores it
        """
        params = {
            "orchestrator": orchestrator,
            "region": region,
            "since": seconds_of(since),
            "until": seconds_of(until),
            "pipeline": pipeline,
            "model": model,
            "job_type": job_type,
            "scored": None if scored is None else str(scored).lower(),
        }
        return (yield from self._read("/api/raw_stats", decode_raw, params, timeout))

    def pipelines(
        self,
        *,
        region: str | None = None,
        since: Moment | None = None,
        until: Moment | None = None,
        timeout: float | None = None,
    ) -> Steps[tuple[Pipeline, ...]]:
        """The AI pipelines with results in the window, with their models and regions; sorted."""
        params = {"region": region, "since": seconds_of(since), "until": seconds_of(until)}
        return (yield from self._read("/api/pipelines", decode_pipelines, params, timeout))

    def regions(self, *, timeout: float | None = None) -> Steps[tuple[ServerRegion, ...]]:
        """The regions that results may come from, one entry for each job type."""
        return (yield from self._read("/api/regions", decode_regions, {}, timeout))

    def top_ai_score(
        self, orchestrator: str | None = None, *, timeout: float | None = None
    ) -> Steps[TopScore | None]:
        """The best AI result group, of one orchestrator or of all; None when there is none."""
        params = {"orchestrator": orchestrator}
        return (yield from self._read("/api/top_ai_score", decode_top, params, timeout))

    def health(self, *, timeout: float | None = None) -> Steps[Health]:
        """Whether the database of the server answers. Asked once; 503 is an answer here, not an error.

        Not every version of the Go server has this endpoint: RefusedError with status 404.
        """
        return (yield from self._read("/api/health", decoder_of(Health), {}, timeout, answers=HEALTH))

    def healthz(self, *, timeout: float | None = None) -> Steps[Alive]:
        """Whether the server process answers. Asked once. orchboard only."""
        return (yield from self._read("/healthz", decoder_of(Alive), {}, timeout, retries=0))

    def readyz(self, *, timeout: float | None = None) -> Steps[Readiness]:
        """Whether the server should get requests. Asked once; 503 is an answer here. orchboard only."""
        return (yield from self._read("/readyz", decoder_of(Readiness), {}, timeout, answers=HEALTH))

    def metrics(self, *, timeout: float | None = None) -> Steps[str]:
        """The metrics in Prometheus' text format. orchboard only."""
        return (yield from self._read("/metrics", bytes.decode, {}, timeout))

    def upkeep(self, token: str, *, timeout: float | None = None) -> Steps[UpkeepDone]:
        """Have a server without background tasks do a part of its maintenance, for about 20 s. orchboard only.

        token -- the server's CRON_SECRET
        """
        headers = {**self._headers.plain(), "Authorization": f"Bearer {header_text('the token', token)}"}
        call = self._call("GET", "/api/upkeep", lambda: headers, timeout, retries=0)
        return (yield from self._decoded(call, decoder_of(UpkeepDone)))
