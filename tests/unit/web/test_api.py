"""The API as strangers use it: every answer is what was asked, or one sentence."""

import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from report_lab import full_document
from slotzero.perf.result_file import write_result_file
from slotzero.web.app import make_app
from slotzero.web.stream import MOST_VIEWERS
from web_lab import MINT, TOKEN, site

BASE = "http://127.0.0.1:9464"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "runs").mkdir()
    write_result_file(tmp_path / "runs" / "before.json", full_document())
    write_result_file(tmp_path / "runs" / "after.json", full_document(2, slower=1.3))
    return tmp_path


@pytest.fixture
async def api(folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = make_app(site(folder))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        yield client


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert list(body) == ["error"]
    sentence = str(body["error"])
    assert sentence
    assert "\n" not in sentence
    assert "Traceback" not in sentence
    return sentence


# ---- what is asked -------------------------------------------------------------------------------------------------


async def test_performance_has_figures_targets_and_a_verdict(api: httpx.AsyncClient) -> None:
    found = (await api.get("/api/v1/performance")).json()
    assert found["schema"] == "slotzero.performance/1"
    assert found["verdict"] == "ok"
    assert len(found["components"]) == 13
    assert found["counts"]["detected"] == 10


async def test_positions_are_chosen_by_state(api: httpx.AsyncClient) -> None:
    for state, number in (("all", 2), ("held", 1), ("closed", 1), ("stuck", 0)):
        found = (await api.get(f"/api/v1/positions?state={state}")).json()
        assert len(found["positions"]) == number


async def test_positions_beyond_the_limit_are_counted(api: httpx.AsyncClient) -> None:
    found = (await api.get("/api/v1/positions?limit=1")).json()
    assert (len(found["positions"]), found["total"]) == (1, 2)


async def test_snipes_come_without_stages_unless_asked_for(api: httpx.AsyncClient) -> None:
    for query, number in (("", 0), ("?stages=true", 9)):
        found = (await api.get(f"/api/v1/snipes{query}")).json()
        assert len(found["snipes"][0]["stages"]) == number


async def test_snipe_has_the_stages_of_its_buy_and_its_exit(api: httpx.AsyncClient) -> None:
    found = (await api.get(f"/api/v1/snipes/{MINT}")).json()
    assert [trace["outcome"] for trace in found["traces"]] == ["bought", "closed"]
    assert {stage["kind"] for stage in found["traces"][1]["stages"]} == {"own", "waited", "held", "beside"}


@pytest.mark.parametrize("form", ["otlp", "perfetto"])
async def test_snipe_can_be_taken_to_other_tools(api: httpx.AsyncClient, form: str) -> None:
    answer = await api.get(f"/api/v1/snipes/{MINT}?format={form}")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.json()


async def test_logs_are_chosen_by_level(api: httpx.AsyncClient) -> None:
    found = (await api.get("/api/v1/logs?level=warning")).json()
    assert [line["message"] for line in found["lines"]] == ["a warning"]


async def test_runs_are_listed_newest_first_and_shown_one_by_one(api: httpx.AsyncClient) -> None:
    listed = (await api.get("/api/v1/runs")).json()["runs"]
    assert {run["id"] for run in listed} == {"before", "after"}
    detail = (await api.get("/api/v1/runs/before")).json()
    assert detail["benchmarks"]
    assert detail["environment"]["fingerprint"]


async def test_compared_runs_have_verdicts_curves_and_differences(api: httpx.AsyncClient) -> None:
    found = (await api.get("/api/v1/runs/before/compare/after")).json()
    assert found["verdicts"] is not None or found["refusal"]
    name, (before, after) = next(iter(found["curves"].items()))
    assert name in found["base_figures"]
    for curve in (before, after):
        assert curve["percent"][-1] == pytest.approx(100)
        assert curve["ms"] == sorted(curve["ms"])


@pytest.mark.parametrize("path", ["/api/v1/runs/before", "/api/v1/runs/before/compare/after"])
async def test_runs_as_one_file_are_downloaded_into_a_sandbox(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(f"{path}?format=html")
    assert answer.text.startswith("<!doctype html>")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/performance",
        "/api/v1/positions",
        "/api/v1/snipes",
        "/api/v1/logs",
        "/api/v1/runs",
        "/api/v1/runs/before",
        "/api/v1/runs/before/compare/after",
    ],
)
async def test_everything_listed_is_a_table_too(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(f"{path}?format=csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert len(rows) >= 2
    assert {len(row) for row in rows} == {len(rows[0])}


async def test_strangers_text_is_not_run_by_a_spreadsheet(api: httpx.AsyncClient) -> None:
    text = (await api.get("/api/v1/positions?format=csv")).text
    assert "'=1+1" in text
    assert ",=1+1" not in text


async def test_views_and_their_deep_links_are_the_page(api: httpx.AsyncClient) -> None:
    for path in (
        "/",
        "/live",
        "/positions?state=held",
        f"/snipes/{MINT}",
        "/runs/x",
        "/compare?base=a",
        "/load",
        "/logs",
    ):
        answer = await api.get(path)
        assert answer.status_code == 200
        assert "<main" in answer.text


async def test_page_has_no_inline_script_or_style(api: httpx.AsyncClient) -> None:
    text = (await api.get("/")).text
    assert "<style" not in text
    assert " style=" not in text
    assert text.count("<script") == text.count("<script src=") + text.count('<script type="module" src=')


async def test_files_of_the_page_are_not_sent_twice(api: httpx.AsyncClient) -> None:
    first = await api.get("/static/main.js")
    assert first.headers["content-type"].startswith("text/javascript")
    again = await api.get("/static/main.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_health_tells_lives_from_ready(api: httpx.AsyncClient, folder: Path) -> None:
    assert (await api.get("/healthz")).json() == {"status": "ok", "ready": True, "bot": 1}
    assert (await api.get("/readyz")).status_code == 200
    app = make_app(site(folder, is_fed=False))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as alone:
        assert (await alone.get("/healthz")).status_code == 200
        assert (await alone.get("/readyz")).status_code == 503
        assert (await alone.get("/api/v1/performance")).json()["bot"] is None
        refused(await alone.get("/metrics"), 503)


async def test_openapi_describes_every_address_of_the_api(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    assert document["openapi"] == "3.1.0"
    assert len(document["paths"]) == 15
    assert document["paths"]["/api/v1/panic"]["post"]["security"] == [{"token": []}]
    for path in document["paths"].values():
        for operation in path.values():
            for status in operation["responses"]:
                assert status == "200" or not status.startswith("5") or status == "503"


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/api/v1/panic", "/api/v1/resume", "/api/v1/positions/p/close"])
async def test_acting_needs_the_token(api: httpx.AsyncClient, path: str) -> None:
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer " + "x" * 9_000},
        {"Authorization": "Bearer \u00ff".encode("latin-1")},
        {"Authorization": f"Bearer {TOKEN}x"},
    ):
        answer = await api.post(path, headers=headers)  # type: ignore[arg-type]  # bytes are allowed
        assert "token" in refused(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize("path", ["/api/v1/panic", "/api/v1/resume", "/api/v1/positions/p/close"])
async def test_acting_is_never_a_get(api: httpx.AsyncClient, path: str) -> None:
    refused(await api.get(path, headers=BEARER), 405)


async def test_acting_on_a_bot_that_is_gone_is_a_sentence(api: httpx.AsyncClient) -> None:
    assert "no bot" in refused(await api.post("/api/v1/panic", headers=BEARER), 409)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1@evil.example", "10.0.0.1", "", "["],
)
async def test_other_hosts_are_refused(api: httpx.AsyncClient, host: str) -> None:
    refused(await api.get("/api/v1/performance", headers={"Host": host}), 421)


@pytest.mark.parametrize("host", ["127.0.0.1:9464", "localhost", "localhost:1", "[::1]:9464", "LOCALHOST:2"])
async def test_loopback_names_are_hosts(api: httpx.AsyncClient, host: str) -> None:
    assert (await api.get("/healthz", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1", "https://127.0.0.1:9464"])
async def test_other_origins_are_refused_with_the_token_too(api: httpx.AsyncClient, origin: str) -> None:
    headers = {**BEARER, "Origin": origin}
    refused(await api.post("/api/v1/panic", headers=headers), 403)
    refused(await api.get("/api/v1/positions", headers=headers), 403)


async def test_other_pages_cannot_embed_or_fetch(api: httpx.AsyncClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
    refused(await api.get("/api/v1/positions", headers=headers), 403)
    answer = await api.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers


TRAVERSAL = [
    "..%2F..%2Fetc%2Fpasswd",
    "%2e%2e%2f%2e%2e%2fsecret",
    "....//secret",
    "%00",
    "before%00.json",
    "%5c..%5csecret",
    "~root",
    ".hidden",
    "a" * 101,
]


@pytest.mark.parametrize("name", TRAVERSAL)
async def test_paths_do_not_leave_the_folder(api: httpx.AsyncClient, folder: Path, name: str) -> None:
    write_result_file(folder / "secret.json", full_document())
    for path in (f"/api/v1/runs/{name}", f"/api/v1/runs/before/compare/{name}", f"/static/{name}"):
        answer = await api.get(path)
        assert answer.status_code in {400, 404}, (path, answer.text)
        refused(answer, answer.status_code)


async def test_link_out_of_the_folder_is_not_followed(api: httpx.AsyncClient, folder: Path) -> None:
    write_result_file(folder / "secret.json", full_document())
    (folder / "runs" / "link.json").symlink_to(folder / "secret.json")
    refused(await api.get("/api/v1/runs/link"), 404)
    assert "link" not in {run["id"] for run in (await api.get("/api/v1/runs")).json()["runs"]}


async def test_damaged_run_is_named_without_its_path(api: httpx.AsyncClient, folder: Path) -> None:
    (folder / "runs" / "broken.json").write_text("{")
    listed = (await api.get("/api/v1/runs")).json()
    assert "broken" in listed["unreadable"]
    assert str(folder) not in msgspec.json.encode(listed).decode()
    assert str(folder) not in refused(await api.get("/api/v1/runs/broken"), 400)


QUERIES = [
    "/api/v1/positions?limit=0",
    "/api/v1/positions?limit=1001",
    "/api/v1/positions?limit=-1",
    "/api/v1/positions?limit=" + "9" * 900,
    "/api/v1/positions?limit=%F0%9F%98%80",
    "/api/v1/positions?state=none",
    "/api/v1/positions?state=open&state=closed",
    "/api/v1/positions?unknown=1",
    "/api/v1/snipes?order=%00",
    "/api/v1/snipes?stages=perhaps",
    "/api/v1/snipes/short",
    "/api/v1/snipes/" + "0" * 44,
    f"/api/v1/snipes/{MINT}?format=pdf",
    "/api/v1/logs?level=LOUD",
    "/api/v1/performance?format=",
    "/api/v1/performance/stream?x=1",
    "/healthz?x",
    "/metrics?format=json",
]


@pytest.mark.parametrize("path", QUERIES)
async def test_malformed_queries_are_refused(api: httpx.AsyncClient, path: str) -> None:
    answer = await api.get(path)
    assert answer.status_code in {200, 400, 404}
    if answer.status_code != 200:
        refused(answer, answer.status_code)
    else:
        assert path == "/healthz?x"


async def test_huge_paths_queries_and_bodies_are_refused(api: httpx.AsyncClient) -> None:
    refused(await api.get("/api/v1/runs/" + "a" * 600), 414)
    refused(await api.get("/api/v1/positions?state=" + "a" * 2_000), 414)
    refused(await api.post("/api/v1/panic", headers=BEARER, content=b"x" * 5_000), 413)


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"reason": 1}', b'{"more": ""}', b"\xff\xfe", b'{"reason": "' + b"x" * 201 + b'"}', b"[" * 4_000],
)
async def test_malformed_bodies_are_refused(api: httpx.AsyncClient, body: bytes) -> None:
    refused(await api.post("/api/v1/panic", headers=BEARER, content=body), 400)


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/v1/runs"), ("DELETE", "/"), ("TRACE", "/healthz"), ("POST", "/")]
)
async def test_other_methods_are_refused(api: httpx.AsyncClient, method: str, path: str) -> None:
    refused(await api.request(method, path), 405)


async def test_unknown_addresses_are_a_sentence(api: httpx.AsyncClient) -> None:
    for path in ("/api", "/api/v2/performance", "/nothing", "/static/", "/static/index.html", "/static/main.py"):
        refused(await api.get(path), 404)


async def test_too_many_viewers_are_refused(folder: Path) -> None:
    made = site(folder)
    viewers: list[Any] = [made.broadcast.listen("") for _ in range(MOST_VIEWERS)]
    for viewer in viewers:
        await anext(viewer)
    app = make_app(made)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE) as client:
        refused(await client.get("/api/v1/performance/stream"), 429)
    for viewer in viewers:
        await viewer.aclose()


async def test_token_is_never_told(api: httpx.AsyncClient) -> None:
    for path in ("/", "/openapi.json", "/api/v1/performance", "/api/v1/logs", "/healthz"):
        assert TOKEN not in (await api.get(path)).text
