"""`slotzero check` as a command: its report, its document, its exit codes."""

import json

import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

import slotzero.workloads.check as workload
from market_lab import coin, key
from slotzero.cli.check import check
from slotzero.config import Settings
from slotzero.errors import SlotzeroError, UsageError
from slotzero.market.metadata import TokenProfile
from slotzero.market.offchain import OffchainDocument
from slotzero.safety import Decision, Evidence, Verdict
from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.units import TokenAmount
from slotzero.workloads.check import CheckReport

app = typer.Typer()
app.command()(check)
MINT = str(coin().mint)


def report(decision: Decision = "ALLOW", **changes: object) -> CheckReport:
    pool = coin(name="Evil\x1b[2J", uri="https://coin.example/1.json")
    reason = "passed" if decision == "ALLOW" else "freeze_authority"
    evidence = (
        Evidence(layer="mint_facts", decision=decision, reason=reason, detail="somebody may freeze any holder"),
        Evidence(layer="holders", decision="UNSURE", reason="not_available", detail="no", is_required=False),
    )
    verdict = Verdict(decision=decision, evidence=evidence, facts_decision=decision, depends_on=(pool.mint,))
    profile = TokenProfile(
        mint=pool.mint,
        token_program=TOKEN_2022_PROGRAM,
        source="token_2022",
        name="Evil\x1b[2J",
        symbol="EV",
        uri="https://coin.example/1.json",
        supply=TokenAmount(10**15),
        decimals=6,
        update_authority=None,
        mint_authority=None,
        freeze_authority=key(8),
        additional=(),
    )
    made = CheckReport(
        pool=pool,
        is_complete=False,
        verdict=verdict,
        profile=profile,
        profile_fault="",
        offchain=None,
        offchain_fault="",
        rpc_calls={"safety": 2},
    )
    return msgspec.structs.replace(made, **changes)


def invoke(monkeypatch: pytest.MonkeyPatch, answer: CheckReport | Exception, *args: str) -> Result:
    async def check_token(settings: Settings, **_: object) -> CheckReport:
        assert settings == Settings()
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(workload, "check_token", check_token)
    return CliRunner().invoke(app, list(args))


@pytest.mark.parametrize(("decision", "code"), [("ALLOW", 0), ("DENY", 1), ("UNSURE", 1)])
def test_exit_code_is_the_verdict(monkeypatch: pytest.MonkeyPatch, decision: Decision, code: int) -> None:
    result = invoke(monkeypatch, report(decision), MINT)
    assert result.exit_code == code
    assert result.stdout.startswith(decision)


def test_report_shows_evidence_and_names_without_controls(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = invoke(monkeypatch, report("DENY"), MINT).stdout
    assert "DENY   mint_facts: freeze_authority" in shown
    assert "holders: not_available (advisory)" in shown
    assert "'Evil?[2J', symbol 'EV'" in shown
    assert f"may freeze         {key(8)}" in shown
    assert "market cap         27.958993476 SOL" in shown
    assert "\x1b" not in shown


def test_json_is_one_document(monkeypatch: pytest.MonkeyPatch) -> None:
    result = invoke(monkeypatch, report("DENY"), MINT, "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 1
    assert (document["schema"], document["mint"], document["verdict"]) == ("slotzero.check/1", MINT, "DENY")
    assert (document["reasons"], document["notes"]) == (["freeze_authority"], ["not_available"])
    assert [item["is_required"] for item in document["evidence"]] == [True, False]
    assert document["pool"]["is_complete"] is False
    assert document["metadata"]["name"] == "Evil\x1b[2J"
    assert document["metadata"]["freeze_authority"] == str(key(8))
    assert (document["offchain"], document["metadata_fault"]) == (None, None)


def test_metadata_that_cannot_be_read_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = invoke(monkeypatch, report(profile=None, profile_fault="a name must be UTF-8"), MINT).stdout
    assert "cannot be read: a name must be UTF-8" in shown


def test_document_behind_the_uri_is_shown_or_why_not(monkeypatch: pytest.MonkeyPatch) -> None:
    said = OffchainDocument(
        name="Coin", symbol=None, description=None, image=None, website=None, twitter="https://x.test/c", telegram=None
    )
    shown = invoke(monkeypatch, report(offchain=said), MINT, "--off-chain").stdout
    assert "off-chain twitter  https://x.test/c" in shown
    assert "off-chain symbol" not in shown
    assert "refused" in invoke(monkeypatch, report(offchain_fault="refused"), MINT, "--off-chain").stdout


def test_fault_reaches_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    fault = SlotzeroError("knows no token")
    assert invoke(monkeypatch, fault, MINT).exception is fault


@pytest.mark.parametrize(
    ("args", "sentence"),
    [
        ([], "give either a MINT, --pool ADDRESS or --newest"),
        ([MINT, "--pool", MINT], "give either a MINT, --pool ADDRESS or --newest"),
        ([MINT, "--newest"], "give either a MINT, --pool ADDRESS or --newest"),
        (["nonsense"], "'nonsense' is no address"),
        ([MINT, "--rpc", "https://mainnet.example/key?x=1"], "--rpc expects a loopback address"),
        ([MINT, "--rpc", "http://10.0.0.1:8899"], "--rpc expects a loopback address"),
        ([MINT, "--rpc", "ftp://127.0.0.1"], "--rpc expects a loopback address"),
    ],
)
def test_wrong_use_is_one_sentence(args: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, args)
    assert isinstance(result.exception, UsageError)
    assert sentence in str(result.exception)
    assert "key?" not in str(result.exception)


def test_chain_that_is_not_there_says_what_to_do() -> None:
    result = CliRunner().invoke(app, [MINT, "--rpc", "http://127.0.0.1:9"])
    assert isinstance(result.exception, SlotzeroError)
    assert "start a chain with `slotzero localnet" in str(result.exception)


@pytest.mark.parametrize("word", ["Example", "exit code", "--off-chain"])
def test_help_has_an_example_and_the_exit_codes(word: str) -> None:
    assert word in CliRunner().invoke(app, ["--help"], env={"NO_COLOR": "1", "TERM": "dumb"}).stdout
