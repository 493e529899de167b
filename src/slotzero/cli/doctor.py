"""`slotzero doctor`: what must be in order before a bot trades."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer

from slotzero import config as settings_file

if TYPE_CHECKING:
    from slotzero.config import Settings
    from slotzero.workloads.doctor import Finding

__all__ = ["doctor"]

_SIGNS: Final = {"ok": "ok  ", "warn": "look", "fail": "FAIL"}
_NOT_IN_ORDER: Final = 1


def doctor(
    *,
    config: Annotated[Path | None, typer.Option(help="A TOML file; without it the defaults are looked at.")] = None,
    feeds: Annotated[bool, typer.Option("--feeds", help="Listen to each feed for three seconds.")] = False,
    linkability: Annotated[
        bool, typer.Option("--linkability", help="Say what the chain shows of the wallets' common owner instead.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else.")] = False,
) -> None:
    """Look at endpoints, clock, disk, journal, keystore and limits, and say what is missing.

    The exit code is 0 when nothing keeps the bot from trading, 1 when something does.

    Example: slotzero doctor --config slotzero.toml --feeds
    """
    settings = settings_file.load(config)
    if linkability:
        _show_linkability(settings, as_json=json)
        return
    findings = asyncio.run(_findings(settings, with_feeds=feeds, is_quiet=json))
    if json:
        sys.stdout.write(msgspec.json.encode({"schema": "slotzero.doctor/1", "findings": findings}).decode() + "\n")
    if any(finding.status == "fail" for finding in findings):
        raise typer.Exit(_NOT_IN_ORDER)


async def _findings(settings: "Settings", *, with_feeds: bool, is_quiet: bool) -> "list[Finding]":
    from slotzero.workloads.doctor import examine  # noqa: PLC0415 `slotzero --help` loads none of the bot's parts

    found = []
    async for finding in examine(settings, with_feeds=with_feeds):
        found.append(finding)
        if not is_quiet:
            typer.echo(f"{_SIGNS[finding.status]}  {finding.name}: {finding.detail}")
    return found


def _show_linkability(settings: "Settings", *, as_json: bool) -> None:
    from slotzero.workloads.doctor import linkability  # noqa: PLC0415 as above

    report = linkability(settings)
    if as_json:
        document = msgspec.to_builtins(report, enc_hook=str)
        sys.stdout.write(msgspec.json.encode({"schema": "slotzero.linkability/1", **document}).decode() + "\n")
        return
    typer.echo(f"{report.transactions} landed transactions of {sum(map(len, report.groups))} wallets were looked at")
    for finding in report.findings:
        typer.echo(f"{finding.strength:8}{finding.kind}: {finding.detail}")
    for group in report.groups:
        typer.echo("one owner by what is visible: " + ", ".join(map(str, group)))
    typer.echo("Funding before the journal began is on the chain as well, and ties wallets together for good.")
