"""`slotzero replay`: what a stored notification or transaction holds, by the detection the bot uses."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from slotzero.detection.records import ReplayReport
from slotzero.detection.replay import replay_file
from slotzero.errors import UsageError
from slotzero.units import format_sol
from slotzero.venues.records import NewPool

__all__ = ["creation_document", "replay", "replay_document"]


def replay(
    file: Annotated[
        Path,
        typer.Argument(
            help="A stored log notification, a getTransaction document, one of either on each line (NDJSON), or what "
            "`slotzero record` has made."
        ),
    ],
    *,
    is_traded: Annotated[bool, typer.Option("--trade", help="Run the whole engine over a recording.")] = False,
    config: Annotated[Path | None, typer.Option(help="With --trade: a TOML file.")] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, max=2**63 - 1, help="With --trade: all that is drawn follows from it."),
    ] = None,
    journal: Annotated[Path | None, typer.Option(help="With --trade: keep the journal in this new file.")] = None,
    is_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Run stored frames or transactions through detection and print what it makes of them.

    A document that gives no pool is counted under its reason. The exit code is 0 even when nothing but drops came
    out, 1 when there is no JSON in the file, 2 when it cannot be read.

    With --trade the real engine trades a recording in the recording's own time, on paper: two runs of the same
    recording, configuration and seed make the same journal, byte for byte.

    Example: slotzero replay notification.json --json
    """
    if is_traded:
        # Here, so that decoding a file loads none of the bot's parts.
        from slotzero.observe.replay_session import replay_session  # noqa: PLC0415

        replay_session(path=file, config=config, seed=seed, journal=journal, as_json=is_json, stdout=sys.stdout)
        return
    if config is not None or seed is not None or journal is not None:
        raise UsageError("--config, --seed and --journal are for trading a recording; add --trade")
    report = replay_file(file)
    if is_json:
        typer.echo(json.dumps(replay_document(report), indent=2))
    else:
        typer.echo(_as_text(report))


def replay_document(report: ReplayReport) -> dict[str, object]:
    """Return a report as the document `--json` prints. *Pure.*"""
    return {
        "creations": [creation_document(pool) for pool in report.creations],
        "dropped": {str(reason): count for reason, count in report.dropped.items()},
        "frames": report.frames,
    }


def creation_document(pool: NewPool) -> dict[str, object]:
    """Return a pool as JSON can hold it: keys in base58, amounts as integers in smallest units. *Pure.*"""
    reserves = pool.reserves
    return {
        "venue": pool.venue,
        "mint": str(pool.mint),
        "pool": str(pool.pool),
        "creator": str(pool.creator),
        "user": str(pool.user),
        "name": pool.name,
        "symbol": pool.symbol,
        "uri": pool.uri,
        "token_program": str(pool.token_program),
        "quote_mint": None if pool.quote_mint is None else str(pool.quote_mint),
        "reserves": {
            "virtual_token": reserves.virtual_token,
            "virtual_quote": reserves.virtual_quote,
            "real_token": reserves.real_token,
            "real_quote": reserves.real_quote,
        },
        "token_supply": pool.token_supply,
        "creator_bought": pool.creator_bought,
        "creator_fee_bps": pool.creator_fee_bps,
        "is_mayhem": pool.is_mayhem,
        "is_cashback": pool.is_cashback,
        "is_holder_reward": pool.is_holder_reward,
        "signature": pool.signature,
        "slot": pool.slot,
        "starts_at": pool.starts_at,
    }


def _as_text(report: ReplayReport) -> str:
    pools = "\n\n".join(_pool_text(pool) for pool in report.creations)
    dropped = ", ".join(f"{count} {reason}" for reason, count in report.dropped.items()) or "nothing"
    frames = f"{report.frames} frame{'' if report.frames == 1 else 's'}"
    found = f"{len(report.creations)} creation{'' if len(report.creations) == 1 else 's'}"
    return f"{pools}{chr(10) * 2 if pools else ''}{frames}: {found}, dropped {dropped}"


def _pool_text(pool: NewPool) -> str:
    reserves = pool.reserves
    if pool.quote_mint is None:
        quote = f"{format_sol(reserves.virtual_quote)} SOL virtual, {format_sol(reserves.real_quote)} SOL real"
    else:
        quote = f"{reserves.virtual_quote} virtual, {reserves.real_quote} real, of {pool.quote_mint}"
    # What a creator wrote is shown as a literal: it may hold line breaks and terminal controls.
    rows = {
        f"{pool.venue} {pool.symbol!r}": repr(pool.name),
        "  mint": str(pool.mint),
        "  pool": str(pool.pool),
        "  creator": str(pool.creator),
        "  quote reserves": quote,
        "  token reserves": f"{reserves.virtual_token} virtual, {reserves.real_token} real",
        "  creator bought": f"{pool.creator_bought} of {pool.token_supply}",
        "  signature": f"{pool.signature} in slot {pool.slot}",
    }
    return "\n".join(f"{label:<18} {value}" for label, value in rows.items())
