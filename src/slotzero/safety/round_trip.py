"""The layer that judges a simulated buy and sell of everything bought. *Pure.*

**The measure.** A loss is what the trader's *own accounts together* hold less after the round trip than before::

    loss = trader_lamports - network_fee - known_costs - (lamports after: trader + token account + deposits)

and is compared with the buy's quoted total, rounded up to a whole basis point. Rent needs no constant: it moves into
the trader's own accounts and is counted there, whatever a byte costs this year.

**What cannot fool it.** Amounts claimed by the venue (return values, events, logs) play no part, only the balances
the runtime itself reports. The classical way to falsify such a sum is to change its left side: send the trader
lamports, or open its token account beforehand (then its rent shows up after and was never paid). Against a fresh
trader, funded inside the transaction, neither is possible, because nobody knows its address (see `RoundTripProbe`).
With our own wallet such a gift shortens the loss by what the attacker really gave us; one big enough to turn the loss
into a gain is seen, because no honest round trip earns anything.

**What it does not prove.** That the coin can be sold *later*: a freeze, a raised fee, a permanent delegate and drained
liquidity are facts of authority, judged by other layers. A program may treat a fresh address better than others, and
the venue's own program could park a loss in an account named as a deposit: name only accounts of a trusted program.

A simulation that never came to the buy (an unfunded wallet, an unknown blockhash) says nothing about the pool: UNSURE.
"""

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from slotzero.errors import MalformedError
from slotzero.safety.reader import AccountView, RoundTripProbe, SimulationView
from slotzero.safety.records import Decision, Evidence
from slotzero.solana.addresses import SYSTEM_PROGRAM
from slotzero.solana.token import AccountState, TransferFeeAmount, parse_token_account
from slotzero.units import BPS
from slotzero.venues.records import NewPool

__all__ = ["LAYER", "Failure", "describe_failure", "judge_round_trip"]

LAYER: Final = "round_trip"

_LAST_LOGS: Final = 3
_LOG_CHARS: Final = 160
_FAILED: Final = re.compile(r"^Program ([1-9A-HJ-NP-Za-km-z]{32,44}) failed: (.*)")
_NOT_RUN: Final = frozenset(
    {
        "AccountInUse",
        "AccountNotFound",
        "AddressLookupTableNotFound",
        "AlreadyProcessed",
        "BlockhashNotFound",
        "ClusterMaintenance",
        "InsufficientFundsForFee",
        "InvalidAccountForFee",
        "InvalidAccountIndex",
        "InvalidAddressLookupTableData",
        "InvalidAddressLookupTableIndex",
        "InvalidAddressLookupTableOwner",
        "SanitizeFailure",
        "SignatureFailure",
        "TooManyAccountLocks",
        "UnsupportedVersion",
    }
)
"""Transaction errors raised before any program runs: they speak of the probe or the node, not of the pool."""


class Failure(Struct, frozen=True, kw_only=True):
    """Why a simulated transaction failed.

    Attributes:
        kind: The error's own word: "InstructionError", "BlockhashNotFound" ...
        instruction: Which instruction failed, or None where the transaction as a whole did.
        program: The innermost program that failed, by the runtime's own log lines; None without such a line.
        code: A program's own error number, or None.
        text: The error in words.
    """

    kind: str
    instruction: int | None
    program: str | None
    code: int | None
    text: str


def describe_failure(err: object, logs: Sequence[str]) -> Failure:
    """Decode a transaction error in the form of JSON-RPC. *Pure.* Takes anything, never raises.

    Args:
        err: `"BlockhashNotFound"`, `{"InstructionError": [2, {"Custom": 6003}]}` and the like.
        logs: The program logs. A program can only write lines that begin with "Program log:" or "Program data:", so
            the runtime's "Program ... failed:" lines cannot be forged; the first of them is the innermost.
    """
    kind, body = _only_item(err)
    if kind != "InstructionError" or not isinstance(body, list) or len(body) != 2:  # noqa: PLR2004 - index, error
        return Failure(kind=kind, instruction=None, program=None, code=None, text=_clean(kind))
    index, cause = body
    word, value = _only_item(cause)
    code = value if word == "Custom" and isinstance(value, int) else None
    line = next((found for found in map(_FAILED.match, logs) if found), None)
    return Failure(
        kind=kind,
        instruction=index if isinstance(index, int) else None,
        program=line[1] if line else None,
        code=code,
        text=_clean(word if code is None else f"custom error {code} (0x{code:x})"),
    )


def judge_round_trip(
    simulation: SimulationView, probe: RoundTripProbe, pool: NewPool, *, max_loss_bps: int
) -> tuple[Evidence, ...]:
    """Judge the simulation of a probe. *Pure.*

    Args:
        simulation: The answer; its `accounts` are those of `probe.watch`.
        probe: What was simulated.
        pool: The pool it traded in.
        max_loss_bps: The highest loss to accept, of the buy's quoted total. An honest venue takes its fees twice
            (pump.fun: about 250); a trap takes thousands.

    Returns:
        One finding: "passed", or why not.

    Raises:
        ValueError: The probe's quoted total is not above 0 (a bug of its builder).
    """
    if probe.quoted_total <= 0:
        raise ValueError(f"a probe's quoted total must be above 0, it was {probe.quoted_total}")
    if simulation.err is not None:
        return (_judge_failure(describe_failure(simulation.err, simulation.logs), simulation.logs, probe),)
    if len(simulation.accounts) != len(probe.watch) or simulation.accounts[0] is None:
        told = f"the node answered without the {len(probe.watch)} accounts that were asked for"
        return (_evidence("UNSURE", "answer_malformed", told),)
    trader = simulation.accounts[0]
    if trader.owner != SYSTEM_PROGRAM or trader.data:
        # The trader signs the trade, so a hostile program could have given the address itself away.
        return (_evidence("DENY", "trader_taken", f"the trader's address belongs to {trader.owner} after it"),)
    objection = _judge_token_account(simulation.accounts[1], probe, pool)
    return (objection or _judge_loss(simulation.accounts, probe, max_loss_bps),)


def _judge_failure(failure: Failure, logs: Sequence[str], probe: RoundTripProbe) -> Evidence:
    at = failure.instruction
    if failure.kind in _NOT_RUN:
        return _evidence("UNSURE", "probe_not_run", f"the round trip was not run: {failure.text}")
    where = f" in {failure.program}" if failure.program else ""
    tail = " | ".join(_clean(line) for line in logs[-_LAST_LOGS:])
    cause = f"{failure.text}{where}; the last log lines: {tail or 'none'}"
    if at is not None and at < probe.buy_index:
        return _evidence("UNSURE", "probe_not_run", f"the preparation failed at instruction {at}: {cause}")
    leg = {probe.buy_index: "the buy", probe.sell_index: "the sell"}.get(-1 if at is None else at, "the round trip")
    return _evidence("DENY", "round_trip_failed", f"{leg} failed: {cause}")


def _judge_token_account(account: AccountView | None, probe: RoundTripProbe, pool: NewPool) -> Evidence | None:
    """Look for anything done to the trader's token account beside filling and emptying it."""
    if account is None or account.lamports == 0:
        return None  # closed, which only an empty one can be
    try:
        held = parse_token_account(account.data, account.owner)
    except MalformedError as error:
        return _evidence("DENY", "token_account_changed", f"the token account is none any more: {error}")
    if held.state is AccountState.FROZEN:
        return _evidence("DENY", "token_account_frozen", "the token account is frozen after the round trip")
    if held.mint != pool.mint or held.owner != probe.trader:
        told = f"the token account belongs to {held.owner} and holds {held.mint} after the round trip"
        return _evidence("DENY", "token_account_changed", told)
    if held.delegate is not None or held.close_authority not in (None, probe.trader):
        told = f"the token account has a delegate ({held.delegate}) or closer ({held.close_authority}) of its own"
        return _evidence("DENY", "token_account_changed", told)
    withheld = held.extension(TransferFeeAmount)
    if withheld is not None and withheld.withheld:
        told = f"{withheld.withheld} of the bought tokens were withheld as a transfer fee"
        return _evidence("DENY", "transfer_fee", told)
    if held.amount:
        told = f"{held.amount} tokens were left after selling the {probe.tokens} bought"
        return _evidence("UNSURE", "round_trip_incomplete", told)
    return None


def _judge_loss(accounts: Sequence[AccountView | None], probe: RoundTripProbe, max_loss_bps: int) -> Evidence:
    after = sum(account.lamports for account in accounts if account is not None)
    loss = probe.trader_lamports - probe.network_fee - probe.known_costs - after
    if loss < -probe.known_costs:
        told = f"the trader held {-loss} lamports more after the round trip; its balance before was not as assumed"
        return _evidence("UNSURE", "round_trip_gain", told)
    loss = max(0, loss)
    loss_bps = -(-loss * BPS // probe.quoted_total)
    told = f"the round trip lost {loss} of {probe.quoted_total} lamports ({loss_bps} bps; accepted: {max_loss_bps})"
    if loss_bps > max_loss_bps:
        return _evidence("DENY", "round_trip_loss", told)
    return _evidence("ALLOW", "passed", told)


def _only_item(value: object) -> tuple[str, object]:
    """Read a tagged value of JSON-RPC: `"Word"` or `{"Word": body}`. Anything else is shown as it is."""
    if isinstance(value, dict) and len(value) == 1:
        ((word, body),) = value.items()
        return str(word), body
    return (value, None) if isinstance(value, str) else (repr(value), None)


def _clean(text: str) -> str:
    """Make a stranger's text fit for a terminal: printable ASCII, of bounded length."""
    shown = "".join(letter if " " <= letter <= "~" else "?" for letter in text[: _LOG_CHARS + 1])
    return shown if len(shown) <= _LOG_CHARS else f"{shown[:_LOG_CHARS]}..."


def _evidence(decision: Decision, reason: str, detail: str) -> Evidence:
    return Evidence(layer=LAYER, decision=decision, reason=reason, detail=detail)
