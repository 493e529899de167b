"""The application: what is asked, answered from the board, the stored runs and the bot's control socket."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from slotzero.control import Status, find_bot
from slotzero.control.records import Request as Command
from slotzero.errors import SlotzeroError, UsageError
from slotzero.secret import Secret
from slotzero.tracing import otlp_request, perfetto_file
from slotzero.web.board import Board, shown
from slotzero.web.guards import Guard, has_token, problem_bytes
from slotzero.web.openapi import Operation, openapi
from slotzero.web.pages import VIEWS, assets
from slotzero.web.queries import (
    ClosePath,
    ComparePath,
    CompareQuery,
    FormatQuery,
    LogsQuery,
    NoQuery,
    PanicBody,
    PositionsQuery,
    RunPath,
    RunQuery,
    SnipePath,
    SnipeQuery,
    SnipesQuery,
    read_body,
    read_path,
    read_query,
)
from slotzero.web.records import (
    Answer,
    Comparing,
    Health,
    Logs,
    Performance,
    Positions,
    RunDetail,
    Runs,
    SnipeDetail,
    Snipes,
)
from slotzero.web.runs import NoSuchRunError, RunStore
from slotzero.web.stream import Broadcast
from slotzero.web.tables import table
from slotzero.web.watch import Watch

__all__ = ["Site", "make_app", "operations"]

log = logging.getLogger(__name__)

_JSON: Final = "application/json"
_CSV: Final = "text/csv; charset=utf-8"
_HTML: Final = "text/html; charset=utf-8"
_EVENTS: Final = "text/event-stream"
_PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS: Final = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_LEVELS: Final = {"debug": 0, "info": 1, "warning": 2, "error": 3, "critical": 4}
_COMPONENT_COLUMNS: Final = (
    *("component", "count", "window_count", "p50_ms", "p95_ms", "p99_ms", "own_p95_ms", "ops_per_s"),
    *("target_p95_ms", "aim_p95_ms", "used_percent", "standing"),
)
_POSITION_COLUMNS: Final = (
    *("id", "mint", "symbol", "venue", "wallet", "state", "reason", "tokens", "quoted_lamports"),
    *("value_lamports", "stop_lamports", "pnl_lamports", "opened_ms"),
)
_SNIPE_COLUMNS: Final = (
    *("id", "trace_id", "outcome", "reason", "ts_ns", "total_ms", "own_ms", "waited_ms", "exit_ms"),
    *("slots_to_land", "pnl_lamports"),
)
_RUN_COLUMNS: Final = (
    "id",
    "kind",
    "title",
    "ts_ms",
    "slotzero",
    "python",
    "cpu",
    "results",
    "judged",
    "passed",
    "failed",
)
_FIGURE_COLUMNS: Final = ("name", "count", "p50_ms", "p95_ms", "p99_ms", "own_p95_ms", "success_percent", "passed")
_LOAD_COLUMNS: Final = (
    *("scenario", "model", "concurrency", "total_ops", "success_percent", "ops_per_s", "p50_ms", "p95_ms", "p99_ms"),
    *("passed", "generator", "missed_starts"),
)
_VERDICT_COLUMNS: Final = ("name", "metric", "effect_percent", "p_value", "floor_percent", "launches", "note")
_LOG_COLUMNS: Final = ("ts_ns", "level", "logger", "message", "trace_id", "mint")

Handler = Callable[[Request], Awaitable[Response]]


class Site:
    """What the application answers from.

    Args:
        board: The bot's state.
        broadcast: The ticks.
        watch: Where scrapes come from.
        runs: The stored runs.
        state: The user's folder, for the control socket.
        token: What acting needs.
    """

    def __init__(
        self, *, board: Board, broadcast: Broadcast, watch: Watch, runs: RunStore, state: Path, token: Secret[str]
    ) -> None:
        self.board = board
        self.broadcast = broadcast
        self.watch = watch
        self.runs = runs
        self.state = state
        self.token = token

    # ---- live ------------------------------------------------------------------------------------------------------

    async def performance(self, request: Request) -> Response:
        """Answer with the newest snapshot."""
        query = read_query(request.query_params, FormatQuery)
        newest = self.broadcast.newest
        if query.format == "csv":
            live = msgspec.json.decode(newest, type=Performance)
            return _csv(live.components, _COMPONENT_COLUMNS, "performance")
        return Response(newest, media_type=_JSON)

    async def stream(self, request: Request) -> Response:
        """Answer with the ticks, until the viewer leaves."""
        read_query(request.query_params, NoQuery)
        if self.broadcast.is_full:
            raise HTTPException(429, "too many viewers; close one and try again")
        events = self.broadcast.listen(request.headers.get("last-event-id", ""))
        return StreamingResponse(events, media_type=_EVENTS, headers={"X-Accel-Buffering": "no"})

    async def positions(self, request: Request) -> Response:
        """Answer with the positions."""
        query = read_query(request.query_params, PositionsQuery)
        found = [
            one
            for one in self.board.positions()
            if query.state in {"all", one.state} or (query.state == "held" and one.state != "closed")
        ]
        listed, view = found[: query.limit], self.board.view
        if query.format == "csv":
            return _csv(listed, _POSITION_COLUMNS, "positions")
        halted = "" if view is None else view.status.halted
        return _json(Positions(positions=tuple(listed), halted=halted, total=len(found)))

    async def snipes(self, request: Request) -> Response:
        """Answer with the traces that are remembered."""
        query = read_query(request.query_params, SnipesQuery)
        found = [one for one in reversed(self.board.snipes()) if query.outcome in {"all", one.outcome}]
        if query.order == "slowest":
            found.sort(key=lambda one: one.total_ms, reverse=True)
        found = found[: query.limit]
        if query.format == "csv":
            return _csv(found, _SNIPE_COLUMNS, "snipes")
        if not query.stages:
            found = [msgspec.structs.replace(one, stages=()) for one in found]
        return _json(Snipes(snipes=tuple(found)))

    async def snipe(self, request: Request) -> Response:
        """Answer with one pool's traces."""
        mint = read_path(request.path_params, SnipePath).id
        query = read_query(request.query_params, SnipeQuery)
        traces = self.board.snipe(mint)
        if not traces:
            raise HTTPException(404, "no snipe of that mint is remembered; /api/v1/snipes lists those that are")
        match query.format:
            case "json":
                return _json(SnipeDetail(id=mint, traces=traces))
            case "otlp":
                version = "" if self.board.hello is None else self.board.hello.version
                return _file(otlp_request(traces, version=version), _JSON, f"snipe-{mint[:8]}.otlp.json")
            case "perfetto":
                return _file(perfetto_file(traces), _JSON, f"snipe-{mint[:8]}.perfetto.json")

    async def logs(self, request: Request) -> Response:
        """Answer with the log's newest lines."""
        query = read_query(request.query_params, LogsQuery)
        least = _LEVELS[query.level]
        lines = [line for line in self.board.logs() if _LEVELS.get(line.level, 1) >= least][-query.limit :]
        return _csv(lines, _LOG_COLUMNS, "logs") if query.format == "csv" else _json(Logs(lines=tuple(lines)))

    # ---- stored ----------------------------------------------------------------------------------------------------

    async def run_list(self, request: Request) -> Response:
        """Answer with the stored runs."""
        query = read_query(request.query_params, FormatQuery)
        found = await asyncio.to_thread(self.runs.list)
        return _csv(found.runs, _RUN_COLUMNS, "runs") if query.format == "csv" else _json(found)

    async def run(self, request: Request) -> Response:
        """Answer with one stored run."""
        run = read_path(request.path_params, RunPath).run
        match read_query(request.query_params, RunQuery).format:
            case "html":
                return _file((await asyncio.to_thread(self.runs.report, run)).encode(), _HTML, f"{run}.html")
            case "file":
                return _file(await asyncio.to_thread(self.runs.bytes_of, run), _JSON, f"{run}.json")
            case "csv":
                found = await asyncio.to_thread(self.runs.detail, run)
                if found.loads:
                    return _csv(found.loads, _LOAD_COLUMNS, run)
                return _csv(found.benchmarks, _FIGURE_COLUMNS, run)
            case "json":
                return _json(await asyncio.to_thread(self.runs.detail, run))

    async def compare(self, request: Request) -> Response:
        """Answer with two stored runs beside one another."""
        names = read_path(request.path_params, ComparePath)
        match read_query(request.query_params, CompareQuery).format:
            case "html":
                page = await asyncio.to_thread(self.runs.report, names.base, names.new)
                return _file(page.encode(), _HTML, f"{names.base}-against-{names.new}.html")
            case "csv":
                found = await asyncio.to_thread(self.runs.compare, names.base, names.new)
                lines = () if found.verdicts is None else found.verdicts.comparisons
                return _csv(lines, _VERDICT_COLUMNS, f"{names.base}-against-{names.new}")
            case "json":
                return _json(await asyncio.to_thread(self.runs.compare, names.base, names.new))

    # ---- acting ----------------------------------------------------------------------------------------------------

    async def close(self, request: Request) -> Response:
        """Tell the bot to sell a position."""
        self._require_token(request)
        position = read_path(request.path_params, ClosePath).id
        read_query(request.query_params, NoQuery)
        return await self._act(Command(command="close", position=position))

    async def panic(self, request: Request) -> Response:
        """Tell the bot to stop buying and sell everything."""
        self._require_token(request)
        read_query(request.query_params, NoQuery)
        reason = read_body(await request.body(), PanicBody).reason
        return await self._act(Command(command="panic", reason=reason))

    async def resume(self, request: Request) -> Response:
        """Tell the bot to go on buying."""
        self._require_token(request)
        read_query(request.query_params, NoQuery)
        return await self._act(Command(command="resume"))

    def _require_token(self, request: Request) -> None:
        if not has_token(request.headers, self.token):
            raise HTTPException(
                401, "this needs the token that was shown at the start", headers={"WWW-Authenticate": "Bearer"}
            )

    async def _act(self, command: Command) -> Response:
        hello = self.board.hello
        if hello is None:
            raise HTTPException(409, "no bot answers")
        log.warning("%s was asked for on the page", command.command)
        try:
            status = await asyncio.to_thread(_ask, self.state, hello.pid, command)
        except SlotzeroError as error:
            raise HTTPException(409, str(error)) from error
        positions = tuple(shown(one) for one in status.positions)
        return _json(Answer(halted=status.halted, positions=positions))

    # ---- for machines ----------------------------------------------------------------------------------------------

    async def healthz(self, request: Request) -> Response:
        """Answer that the server lives."""
        read_query(request.query_params, NoQuery)
        return _json(self._health())

    async def readyz(self, request: Request) -> Response:
        """Answer whether a bot is being watched."""
        read_query(request.query_params, NoQuery)
        health = self._health()
        return Response(msgspec.json.encode(health), 200 if health.ready else 503, media_type=_JSON)

    def _health(self) -> Health:
        hello = self.board.hello
        return Health(
            status="waiting" if hello is None else "ok",
            ready=hello is not None,
            bot=None if hello is None else hello.pid,
        )

    async def metrics(self, request: Request) -> Response:
        """Answer with a scrape of the bot."""
        read_query(request.query_params, NoQuery)
        openmetrics = "application/openmetrics-text" in request.headers.get("accept", "")
        text = await self.watch.metrics(openmetrics=openmetrics)
        if text is None:
            raise HTTPException(503, "no bot answers, so there is nothing to scrape")
        return Response(text, headers={"Content-Type": _OPENMETRICS if openmetrics else _PROMETHEUS})


def _ask(state: Path, pid: int, command: Command) -> Status:
    with find_bot(state, pid) as client:
        return client.ask(command)


def operations(site: Site) -> list[tuple[Operation, Handler]]:
    """Return each operation of the API with what answers it."""
    table_too = {"text/csv": None}
    return [
        (_op("/api/v1/performance", "performance", "Live figures, counts, targets and verdicts.",
             {_JSON: Performance, **table_too}, query=FormatQuery), site.performance),
        (_op("/api/v1/performance/stream", "stream", "The same each half second, as server-sent events.",
             {_EVENTS: None}, statuses=(429,)), site.stream),
        (_op("/api/v1/positions", "positions", "Positions, held ones first.", {_JSON: Positions, **table_too},
             query=PositionsQuery), site.positions),
        (_op("/api/v1/snipes", "snipes", "The newest or slowest snipes.", {_JSON: Snipes, **table_too},
             query=SnipesQuery), site.snipes),
        (_op("/api/v1/snipes/{id}", "snipe", "One snipe's stages, own time against waited.", {_JSON: SnipeDetail},
             query=SnipeQuery, variables=SnipePath, statuses=(404,)), site.snipe),
        (_op("/api/v1/logs", "logs", "The log's newest lines.", {_JSON: Logs, **table_too}, query=LogsQuery),
         site.logs),
        (_op("/api/v1/runs", "runs", "Stored runs, newest first.", {_JSON: Runs, **table_too}, query=FormatQuery),
         site.run_list),
        (_op("/api/v1/runs/{run}", "run", "One stored run.", {_JSON: RunDetail, "text/html": None, **table_too},
             query=RunQuery, variables=RunPath, statuses=(404,)), site.run),
        (_op("/api/v1/runs/{base}/compare/{new}", "compare", "Two stored runs beside one another.",
             {_JSON: Comparing, "text/html": None, **table_too}, query=CompareQuery, variables=ComparePath,
             statuses=(404,)), site.compare),
        (_act("/api/v1/positions/{id}/close", "close", "Sell one position now.", variables=ClosePath,
              statuses=(404,)), site.close),
        (_act("/api/v1/panic", "panic", "Stop buying and sell everything.", body=PanicBody), site.panic),
        (_act("/api/v1/resume", "resume", "Take the kill switch off."), site.resume),
        (_op("/healthz", "healthz", "Whether the server lives.", {_JSON: Health}), site.healthz),
        (_op("/readyz", "readyz", "Whether a bot is being watched.", {_JSON: Health}, statuses=(503,)), site.readyz),
        (_op("/metrics", "metrics", "The bot's metrics, for Prometheus.", {"text/plain": None}, statuses=(503,)),
         site.metrics),
    ]  # fmt: skip


def _op(
    path: str,
    name: str,
    summary: str,
    answers: dict[str, type[Struct] | None],
    *,
    query: type[Struct] | None = None,
    variables: type[Struct] | None = None,
    statuses: tuple[int, ...] = (),
) -> Operation:
    return Operation(
        method="get",
        path=path,
        name=name,
        summary=summary,
        answers=answers,
        query=query,
        variables=variables,
        statuses=statuses,
    )


def _act(
    path: str,
    name: str,
    summary: str,
    *,
    variables: type[Struct] | None = None,
    body: type[Struct] | None = None,
    statuses: tuple[int, ...] = (),
) -> Operation:
    return Operation(
        method="post",
        path=path,
        name=name,
        summary=summary,
        answers={_JSON: Answer},
        variables=variables,
        body=body,
        statuses=statuses,
        acts=True,
    )


def make_app(site: Site) -> Starlette:
    """Return the application."""
    served = operations(site)
    document = openapi([operation for operation, _ in served])
    files = assets()

    async def described(request: Request) -> Response:
        read_query(request.query_params, NoQuery)
        return Response(document, media_type=_JSON)

    async def page(_request: Request) -> Response:
        return Response(files["index.html"].body, headers={"Content-Type": _HTML})

    async def asset(request: Request) -> Response:
        found = files.get(request.path_params["name"])
        if found is None or found.kind == _HTML:
            raise HTTPException(404, "the page has no such file")
        headers = {"ETag": found.tag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == found.tag:
            return Response(status_code=304, headers=headers)
        return Response(found.body, headers={**headers, "Content-Type": found.kind})

    routes = [Route(one.path, handler, methods=[one.method.upper()]) for one, handler in served]
    routes += [Route("/openapi.json", described), Route("/static/{name}", asset)]
    routes += [Route(view, page) for view in (*VIEWS, "/snipes/{id}", "/runs/{id}", "/load/{id}")]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard)],
        exception_handlers={HTTPException: _on_http, SlotzeroError: _on_fault},
    )


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    sentences = {404: "there is nothing at this address", 405: "this address does not take that method"}
    is_plain = error.detail in {"Not Found", "Method Not Allowed"}
    text = sentences.get(error.status_code, error.detail) if is_plain else error.detail
    return Response(problem_bytes(text), error.status_code, dict(error.headers or {}), media_type=_JSON)


async def _on_fault(_request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, NoSuchRunError) else 400 if isinstance(error, UsageError) else 409
    return Response(problem_bytes(str(error)), status, media_type=_JSON)


def _json(answer: Struct) -> Response:
    return Response(msgspec.json.encode(answer), media_type=_JSON)


def _csv(rows: Sequence[Struct], columns: Sequence[str], name: str) -> Response:
    return _file(table(rows, columns).encode(), _CSV, f"{name}.csv")


def _file(body: bytes, kind: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Content-Type": kind}
    if kind == _HTML:
        headers["Content-Security-Policy"] = "sandbox allow-scripts"  # its own policy stands in the file
    return Response(body, headers=headers)
