"""`slotzero check`: one token's honeypot report."""

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slotzero import config as settings_file
from slotzero.units import format_sol

if TYPE_CHECKING:
    from slotzero.safety.records import Evidence
    from slotzero.workloads.check import CheckReport

__all__ = ["check", "check_document"]

_NOT_ALLOWED = 1
_NAME_CHARS = 60
_TEXT_CHARS = 200


def check(
    mint: Annotated[str | None, typer.Argument(help="The token's mint address.")] = None,
    *,
    pool: Annotated[str | None, typer.Option(help="The address of its pool, instead of the mint's.")] = None,
    is_newest: Annotated[
        bool, typer.Option("--newest", help="The token of the newest pool on the chain, instead of a mint.")
    ] = False,
    config: Annotated[Path | None, typer.Option(help="A TOML file: its limits, and its cluster.rpc_url.")] = None,
    rpc: Annotated[
        str | None, typer.Option(help="The chain; without it the configured one, else 127.0.0.1:8899.")
    ] = None,
    wants_offchain: Annotated[
        bool, typer.Option("--off-chain", help="Ask the host in the token's uri, which its creator chose, as well.")
    ] = False,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Judge one token by every safety layer: verdict, evidence and what it says of itself.

    Needs a running chain (`slotzero localnet --launches-per-s 1`). Buys nothing: the round trip is simulated, paid by
    the faucet.

    The exit code is 0 when the token is allowed, 1 when it is denied or cannot be judged, 2 for wrong use.

    Example: slotzero check --newest --json
    """
    # Here, so that `slotzero --help` loads none of the bot's parts.
    import uvloop  # noqa: PLC0415

    from slotzero.workloads.check import check_token  # noqa: PLC0415

    settings = settings_file.load(config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        report = runner.run(
            check_token(settings, mint=mint, pool=pool, is_newest=is_newest, rpc_url=rpc, wants_offchain=wants_offchain)
        )
    typer.echo(json.dumps(check_document(report), indent=2) if is_json else _as_text(report))
    if report.verdict.decision != "ALLOW":
        raise typer.Exit(_NOT_ALLOWED)


def check_document(report: "CheckReport") -> dict[str, object]:
    """Return a report as the document `--json` prints. *Pure.*"""
    pool, verdict, profile = report.pool, report.verdict, report.profile
    reserves = pool.reserves
    return {
        "schema": "slotzero.check/1",
        "mint": str(pool.mint),
        "verdict": verdict.decision,
        "facts": verdict.facts_decision,
        "reasons": list(verdict.reasons),
        "notes": list(verdict.notes),
        "evidence": [
            {
                "layer": item.layer,
                "decision": item.decision,
                "reason": item.reason,
                "detail": item.detail,
                "is_required": item.is_required,
            }
            for item in verdict.evidence
        ],
        "pool": {
            "venue": pool.venue,
            "address": str(pool.pool),
            "creator": str(pool.creator),
            "is_complete": report.is_complete,
            "quote_mint": None if pool.quote_mint is None else str(pool.quote_mint),
            "virtual_token": reserves.virtual_token,
            "virtual_quote": reserves.virtual_quote,
            "real_token": reserves.real_token,
            "real_quote": reserves.real_quote,
            "token_supply": pool.token_supply,
            "market_cap": _market_cap(report),
            "creation_slot": pool.slot or None,
            "creation_signature": pool.signature or None,
        },
        "metadata": None
        if profile is None
        else {
            "source": profile.source,
            "name": profile.name,
            "symbol": profile.symbol,
            "uri": profile.uri,
            "decimals": profile.decimals,
            "supply": profile.supply,
            "token_program": str(profile.token_program),
            "update_authority": _key(profile.update_authority),
            "mint_authority": _key(profile.mint_authority),
            "freeze_authority": _key(profile.freeze_authority),
        },
        "metadata_fault": report.profile_fault or None,
        "offchain": None
        if report.offchain is None
        else {name: getattr(report.offchain, name) for name in report.offchain.__struct_fields__},
        "offchain_fault": report.offchain_fault or None,
        "rpc_calls": report.rpc_calls,
    }


def _key(key: object) -> str | None:
    return None if key is None else str(key)


def _market_cap(report: "CheckReport") -> int | None:
    reserves = report.pool.reserves
    if not reserves.virtual_token:
        return None
    return reserves.virtual_quote * report.pool.token_supply // reserves.virtual_token


def _as_text(report: "CheckReport") -> str:
    from slotzero.market.text import shown  # noqa: PLC0415 as above

    pool, verdict, profile = report.pool, report.verdict, report.profile
    why = ", ".join(verdict.reasons)
    lines = [f"{verdict.decision}{f'  {why}' if why else ''}", ""]
    lines += [f"  {item.decision:<6} {_label(item):<38} {shown(item.detail, _TEXT_CHARS)}" for item in verdict.evidence]
    lines += ["", *_rows(_pool_rows(report))]
    if profile is None:
        lines.append(f"  {'metadata':<18} cannot be read: {shown(report.profile_fault, _TEXT_CHARS)}")
    else:
        rows = {
            "name": f"{shown(profile.name, _NAME_CHARS)!r}, symbol {shown(profile.symbol, _NAME_CHARS)!r}",
            "uri": shown(profile.uri, _TEXT_CHARS) or "none",
            "names from": profile.source.replace("_", " "),
            "may change names": _key(profile.update_authority) or "nobody",
            "may mint": _key(profile.mint_authority) or "nobody",
            "may freeze": _key(profile.freeze_authority) or "nobody",
        }
        lines += _rows(rows)
    if report.offchain is not None:
        said = {name: getattr(report.offchain, name) for name in report.offchain.__struct_fields__}
        lines += _rows({f"off-chain {name}": value for name, value in said.items() if value})
    elif report.offchain_fault:
        lines.append(f"  {'off-chain':<18} {shown(report.offchain_fault, _TEXT_CHARS)}")
    calls = ", ".join(f"{purpose} {count}" for purpose, count in sorted(report.rpc_calls.items()))
    return "\n".join([*lines, *_rows({"RPC calls": calls}), f"  {'mint':<18} {pool.mint}"])


def _label(item: "Evidence") -> str:
    return f"{item.layer}: {item.reason}{'' if item.is_required else ' (advisory)'}"


def _pool_rows(report: "CheckReport") -> dict[str, str]:
    pool, cap = report.pool, _market_cap(report)
    state = "complete: it trades elsewhere" if report.is_complete else "trading"
    rows = {"pool": f"{pool.venue} {pool.pool}, {state}", "creator": str(pool.creator)}
    if pool.quote_mint is None:
        rows["liquidity"] = f"{format_sol(pool.reserves.real_quote)} SOL"
        rows["market cap"] = "unknown" if cap is None else f"{format_sol(cap)} SOL"
    else:
        rows["liquidity"] = f"{pool.reserves.real_quote} units of {pool.quote_mint}"
    return rows


def _rows(rows: dict[str, str]) -> list[str]:
    return [f"  {name:<18} {value}" for name, value in rows.items()]
