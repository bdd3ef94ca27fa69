"""Every call of the API as steps that either client carries out. No input or output."""

import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from datetime import datetime
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlencode

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from orchboard.client.answers import (
    RawResult,
    ServerRegion,
    decode,
    decode_pipelines,
    decode_raw,
    decode_regions,
    decode_scores,
    decode_top,
)
from orchboard.client.attempts import POST_PATH, Call, Policy, Server
from orchboard.client.errors import ClientError, NotSentError, RefusedError
from orchboard.client.exchange import Steps
from orchboard.client.headers import Headers, header_text
from orchboard.client.url import encode_target
from orchboard.errors import BadInputError
from orchboard.server_state import Alive, Health, Readiness, UpkeepDone
from orchboard.stats import JobType, Pipeline, ScoresByCell, Stats, TopScore

T = TypeVar("T")

Sendable: TypeAlias = Stats | Mapping[str, Any] | bytes
"""A result to post: as a struct, as a mapping of its members, or as JSON that is sent byte by byte."""

Moment: TypeAlias = float | datetime
"""Unix seconds, or an aware datetime."""

MAX_ANSWER_BYTES = 1024 * 1024 * 1024
_OK, _HEALTH = (200,), (200, 503)


class Posted(Struct, frozen=True):
    """What became of one result of `post_many`.

    idempotency_key -- it was sent with; empty when it was not sent
    error -- None when it is stored
    """

    idempotency_key: str
    error: ClientError | None


class Calls:
    """The calls of one client. The methods are documented for the users of Client and AsyncClient."""

    def __init__(self, server: Server, policy: Policy, *, secret: str, tester: str, user_agent: str) -> None:
        self._server = server
        self._policy = policy
        self._headers = Headers(secret=secret, tester=tester, user_agent=user_agent)

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

    def get(
        self,
        endpoint: str,
        params: Mapping[str, str | None] | None = None,
        *,
        timeout: float | None = None,
        answers: Collection[int] = _OK,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Steps[bytes]:
        """The document of an endpoint in bytes, with everything that the server put into it.

        endpoint -- its name behind `/api/`
        params -- the query; None and empty values are left out
        answers -- the statuses whose body is returned; any other status is an error
        max_bytes -- limit of the body
        Raises ClientError.
        """
        path = _target(encode_target(f"/api/{endpoint}"), params or {})
        call = self._call("GET", path, self._headers.plain, timeout, answers=answers, max_bytes=max_bytes)
        return (yield from call.steps()).body

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
    ) -> Steps[ScoresByCell]:
        """The scores, `{orchestrator: {region: Score}}`; empty when there are none.

        `pipeline` and `model` come together. Without them: transcoding, unless `job_type` is "ai".
        """
        params = {
            "orchestrator": orchestrator,
            "region": region,
            "since": _seconds(since),
            "until": _seconds(until),
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
            "since": _seconds(since),
            "until": _seconds(until),
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
        params = {"region": region, "since": _seconds(since), "until": _seconds(until)}
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
        return (yield from self._read("/api/health", _decoder(Health), {}, timeout, answers=_HEALTH))

    def healthz(self, *, timeout: float | None = None) -> Steps[Alive]:
        """Whether the server process answers. Asked once. orchboard only."""
        return (yield from self._read("/healthz", _decoder(Alive), {}, timeout, retries=0))

    def readyz(self, *, timeout: float | None = None) -> Steps[Readiness]:
        """Whether the server should get requests. Asked once; 503 is an answer here. orchboard only."""
        return (yield from self._read("/readyz", _decoder(Readiness), {}, timeout, answers=_HEALTH))

    def metrics(self, *, timeout: float | None = None) -> Steps[str]:
        """The metrics in Prometheus' text format. orchboard only."""
        return (yield from self._read("/metrics", bytes.decode, {}, timeout))

    def upkeep(self, token: str, *, timeout: float | None = None) -> Steps[UpkeepDone]:
        """Have a server without background tasks do a part of its maintenance, for about 20 s. orchboard only.

        token -- the server's CRON_SECRET
        """
        headers = {**self._headers.plain(), "Authorization": f"Bearer {header_text('the token', token)}"}
        call = self._call("GET", "/api/upkeep", lambda: headers, timeout, retries=0)
        return (yield from self._decoded(call, _decoder(UpkeepDone)))

    def _read(
        self,
        path: str,
        decode_body: Callable[[bytes], T],
        params: Mapping[str, str | None],
        timeout: float | None,
        *,
        answers: Collection[int] = _OK,
        retries: int | None = None,
    ) -> Steps[T]:
        retries = 0 if answers is _HEALTH else retries
        target = _target(path, params)
        call = self._call("GET", target, self._headers.plain, timeout, answers=answers, retries=retries)
        return (yield from self._decoded(call, decode_body))

    def _decoded(self, call: Call, decode_body: Callable[[bytes], T]) -> Steps[T]:
        response = yield from call.steps()
        try:
            return decode_body(response.body)
        except ValueError as error:
            message = f"{self._server.url} did not answer as a leaderboard server does: {error}"
            raise call.refused(response, message) from None

    def _call(
        self,
        method: str,
        target: str,
        make_headers: Callable[[], Mapping[str, str]],
        timeout: float | None,
        *,
        retries: int | None = None,
        body: bytes = b"",
        key: str | None = None,
        answers: Collection[int] = _OK,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Call:
        policy = self._policy if timeout is None else replace(self._policy, timeout=timeout)
        policy = policy if retries is None else replace(policy, max_retries=retries)
        return Call(
            self._server,
            policy,
            method,
            target,
            make_headers,
            body=body,
            key=key,
            answers=answers,
            max_bytes=max_bytes,
        )


def _target(path: str, params: Mapping[str, str | None]) -> str:
    query = urlencode({name: value for name, value in params.items() if value})
    return f"{path}?{query}" if query else path


def _seconds(moment: Moment | None) -> str | None:
    if isinstance(moment, datetime):
        if moment.tzinfo is None:
            raise BadInputError("since and until are aware datetimes or Unix seconds")
        moment = moment.timestamp()
    return None if moment is None else str(moment)


def _decoder(kind: type[T]) -> Callable[[bytes], T]:
    return lambda body: decode(body, kind)
