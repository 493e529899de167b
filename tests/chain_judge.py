"""A judge of what happened to money, which asks the chain and nobody else.

It knows JSON-RPC and two facts about token accounts, and imports nothing of slotzero: a mistake of the bot's own code
cannot make it agree with the bot. `history` reads every transaction of a wallet from the chain. `judge` says what they
amount to, and holds that against what a bot's books say, where it is given them.

    python chain_judge.py RPC_URL WALLET...
"""

import base64
import json
import struct
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["BookedIntent", "Books", "Judgement", "Rpc", "judge"]

TOKEN_PROGRAMS = ("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
PAGE = 1_000
HAS_END = frozenset({"IntentLanded", "IntentFailed", "IntentExpired", "IntentAbandoned"})


class Rpc:
    """Just enough JSON-RPC."""

    def __init__(self, url: str) -> None:
        self._url = url

    def __call__(self, method: str, *params: object) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(self._url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            reply = json.load(answer)
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']}")
        return reply["result"]


@dataclass(frozen=True)
class Transaction:
    """One transaction as its wallet felt it."""

    signature: str
    has_landed: bool
    lamports_delta: int
    token_deltas: Mapping[str, int]


@dataclass(frozen=True)
class BookedIntent:
    """What a bot's books say of one signed transaction: `end` is the kind of its last event."""

    signature: str
    side: str
    mint: str
    end: str


@dataclass(frozen=True)
class Books:
    """What a bot says: its intents, the tokens it holds by mint, the lamports its wallet should have."""

    wallet: str
    intents: Sequence[BookedIntent]
    held: Mapping[str, int]
    expected_lamports: int


@dataclass
class Judgement:
    """What the chain says. `faults` is empty when all is well."""

    buys: int = 0
    sells: int = 0
    failed: int = 0
    never_landed: int = 0
    double_buys: int = 0
    lost_positions: int = 0
    unknown_intents: int = 0
    unbooked_trades: int = 0
    wrong_ends: int = 0
    unexplained_lamports: int = 0
    unbooked_lamports: int = 0
    details: list[str] = field(default_factory=list)

    @property
    def faults(self) -> dict[str, int]:
        """Every count that must be zero and is not."""
        names = (
            *("double_buys", "lost_positions", "unknown_intents", "unbooked_trades", "wrong_ends"),
            *("unexplained_lamports", "unbooked_lamports"),
        )
        return {name: getattr(self, name) for name in names if getattr(self, name)}


def judge(url: str, wallets: Iterable[str], books: Iterable[Books] = ()) -> Judgement:
    """Judge wallets that belong to one owner: together they must not have bought a mint twice."""
    rpc, result = Rpc(url), Judgement()
    buyers: Counter[str] = Counter()
    by_wallet = {book.wallet: book for book in books}
    for wallet in wallets:
        transactions = history(rpc, wallet)
        balance = rpc("getBalance", wallet, {"commitment": "confirmed"})["value"]
        moved = sum(transaction.lamports_delta for transaction in transactions.values())
        result.unexplained_lamports += abs(balance - moved)
        for transaction in transactions.values():
            bought = [mint for mint, delta in transaction.token_deltas.items() if delta > 0]
            sold = [mint for mint, delta in transaction.token_deltas.items() if delta < 0]
            buyers.update(bought)
            result.buys += len(bought)
            result.sells += len(sold)
            result.failed += not transaction.has_landed
        held = holdings(rpc, wallet)
        if (book := by_wallet.get(wallet)) is not None:
            compare(result, book, transactions, held, balance)
        elif held:
            result.lost_positions += len(held)
            result.details.append(f"{wallet} holds {held}")
    result.double_buys = sum(count - 1 for count in buyers.values())
    result.details += [f"{mint} was bought {count} times" for mint, count in buyers.items() if count > 1]
    return result


def compare(
    result: Judgement, book: Books, transactions: Mapping[str, Transaction], held: Mapping[str, int], balance: int
) -> None:
    """Hold the books against the chain."""
    result.unbooked_lamports += abs(balance - book.expected_lamports)
    for mint in held.keys() | book.held.keys():
        if held.get(mint, 0) != book.held.get(mint, 0):
            result.lost_positions += 1
            result.details.append(f"chain holds {held.get(mint, 0)} of {mint}, the books {book.held.get(mint, 0)}")
    booked = {intent.signature: intent for intent in book.intents}
    for intent in booked.values():
        transaction = transactions.get(intent.signature)
        should_be = "never" if transaction is None else "IntentLanded" if transaction.has_landed else "IntentFailed"
        result.never_landed += transaction is None
        if intent.end not in HAS_END:
            result.unknown_intents += 1
            result.details.append(f"{intent.side} {intent.signature} ends with {intent.end}, chain: {should_be}")
        elif transaction is None:
            result.wrong_ends += intent.end not in ("IntentExpired", "IntentAbandoned")
        elif intent.end != should_be:
            result.wrong_ends += 1
            result.details.append(f"{intent.side} {intent.signature} ends with {intent.end}, chain: {should_be}")
    for transaction in transactions.values():
        if transaction.token_deltas and transaction.signature not in booked:
            result.unbooked_trades += 1
            result.details.append(f"{transaction.signature} traded {transaction.token_deltas} and is in no book")


def history(rpc: Rpc, wallet: str) -> dict[str, Transaction]:
    """Read every transaction of a wallet, newest first."""
    found: dict[str, Transaction] = {}
    options: dict[str, object] = {"limit": PAGE, "commitment": "confirmed"}
    while page := rpc("getSignaturesForAddress", wallet, options):
        for row in page:
            found[row["signature"]] = transaction_of(rpc, row["signature"], wallet)
        options["before"] = page[-1]["signature"]
    return found


def transaction_of(rpc: Rpc, signature: str, wallet: str) -> Transaction:
    """Read one transaction and what it changed for `wallet`."""
    options = {"commitment": "confirmed", "encoding": "json", "maxSupportedTransactionVersion": 1}
    answer = rpc("getTransaction", signature, options)
    meta, keys = answer["meta"], answer["transaction"]["message"]["accountKeys"]
    place = keys.index(wallet)
    tokens: Counter[str] = Counter()
    for sign, balances in ((-1, meta["preTokenBalances"]), (1, meta["postTokenBalances"])):
        for balance in balances:
            if balance["owner"] == wallet:
                tokens[balance["mint"]] += sign * int(balance["uiTokenAmount"]["amount"])
    return Transaction(
        signature=signature,
        has_landed=meta["err"] is None,
        lamports_delta=meta["postBalances"][place] - meta["preBalances"][place],
        token_deltas={mint: delta for mint, delta in tokens.items() if delta},
    )


def holdings(rpc: Rpc, wallet: str) -> dict[str, int]:
    """Read what a wallet holds: the mint and the amount stand at fixed places of both programs' accounts."""
    held: Counter[str] = Counter()
    for program in TOKEN_PROGRAMS:
        options = {"commitment": "confirmed", "encoding": "base64"}
        for row in rpc("getTokenAccountsByOwner", wallet, {"programId": program}, options)["value"]:
            data = base64.b64decode(row["account"]["data"][0])
            held[base58(data[:32])] += struct.unpack_from("<Q", data, 64)[0]
    return {mint: amount for mint, amount in held.items() if amount}


def base58(data: bytes) -> str:
    """Write a key as people do."""
    alphabet = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = alphabet[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


if __name__ == "__main__":
    said = judge(sys.argv[1], sys.argv[2:])
    sys.stdout.write(json.dumps({**vars(said), "faults": said.faults}, indent=1) + "\n")
    sys.exit(bool(said.faults))
