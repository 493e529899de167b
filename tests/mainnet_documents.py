"""Captured pump.fun transactions read straight from their JSON, by other means than the project's own readers."""

import base64
import json
import re
import struct
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

# A captured document is JSON: nothing is known of its shape before it is looked at.
Json = Any

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
PUMP = "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P"
CREATE = bytes.fromhex("1b72a94ddeeb6376")
TRADE = bytes.fromhex("bddb7fd34ee661ee")
EVENT_TAG = bytes.fromhex("e445a52e51cb9a1d")


def base58(text: str) -> bytes:
    number = 0
    for letter in text:
        number = number * 58 + ALPHABET.index(letter)
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def address(raw: list[int]) -> str:
    """An address of a geyser update, which has bytes as numbers."""
    return str(Pubkey.from_bytes(bytes(raw)))


def result(path: Path) -> Json:
    document = json.loads(path.read_text())
    return document.get("result", document)


class Call:
    """An executed instruction of pump.fun with the flags its transaction gives each account.

    Attributes:
        others: Every account another of the transaction's own instructions names, and the fee payer: there the flags
            of the message are the union over all of them. What programs call in turn adds no flag.
    """

    def __init__(self, accounts: list[str], data: bytes, others: set[str]) -> None:
        self.accounts = accounts
        self.data = data
        self.others = others


class Document:
    """One captured transaction (json, jsonParsed, base64 or the JSON of a geyser update)."""

    def __init__(self, path: Path) -> None:
        document = result(path)
        if "transaction" in document["transaction"]:  # a geyser update
            document = document["transaction"]
        self.meta: Json = document["meta"]
        transaction = document["transaction"]
        self.signers: set[str] = set()
        self.writable: set[str] = set()
        self._read(transaction)

    def _read(self, transaction: Json) -> None:
        loaded = self.meta.get("loadedAddresses") or {
            "writable": [address(raw) for raw in self.meta.get("loadedWritableAddresses") or []],
            "readonly": [address(raw) for raw in self.meta.get("loadedReadonlyAddresses") or []],
        }
        if isinstance(transaction, list):
            message = VersionedTransaction.from_bytes(base64.b64decode(transaction[0])).message
            own = [str(key) for key in message.account_keys]
            head = message.header
            counts = (
                head.num_required_signatures,
                head.num_readonly_signed_accounts,
                head.num_readonly_unsigned_accounts,
            )
            self.top = [(i.program_id_index, list(i.accounts), bytes(i.data)) for i in message.instructions]
        else:
            message = transaction["message"]
            rows = message["accountKeys"]
            if isinstance(rows[0], dict):
                self.keys = [row["pubkey"] for row in rows]
                self.signers = {row["pubkey"] for row in rows if row["signer"]}
                self.writable = {row["pubkey"] for row in rows if row["writable"]}
                self.top = [self._indexed(call) for call in message["instructions"]]
                return
            own = [key if isinstance(key, str) else address(key) for key in rows]
            header = message["header"]
            counts = (
                header["numRequiredSignatures"],
                header["numReadonlySignedAccounts"],
                header["numReadonlyUnsignedAccounts"],
            )
            self.top = [self._compiled(call) for call in message["instructions"]]
        signed, read_signed, read_unsigned = counts
        self.keys = [*own, *loaded["writable"], *loaded["readonly"]]
        self.signers = set(own[:signed])
        self.writable = {*own[: signed - read_signed], *own[signed : len(own) - read_unsigned], *loaded["writable"]}

    @staticmethod
    def _compiled(call: Json) -> tuple[int, list[int], bytes]:
        data = call["data"]
        return call["programIdIndex"], list(call["accounts"]), base58(data) if isinstance(data, str) else bytes(data)

    def _indexed(self, call: Json) -> tuple[int, list[int], bytes]:
        """A partially decoded instruction as a compiled one; a parsed one names its program alone."""
        if "programIdIndex" in call:
            return self._compiled(call)
        accounts = [self.keys.index(key) for key in call.get("accounts", [])]
        return self.keys.index(call["programId"]), accounts, base58(call.get("data", ""))

    @property
    def logs(self) -> list[str]:
        return list(self.meta["logMessages"])

    def calls(self) -> list[tuple[str, list[str], bytes]]:
        inner = [self._indexed(call) for group in self.meta["innerInstructions"] for call in group["instructions"]]
        return [
            (self.keys[program], [self.keys[a] for a in accounts], data)
            for program, accounts, data in [*self.top, *inner]
        ]

    def trades(self, discriminator: str) -> list[Call]:
        """The instructions of pump.fun that begin with a discriminator, the transaction's own and inner ones."""
        calls = self.calls()
        own = calls[: len(self.top)]
        found = []
        for number, (program, accounts, data) in enumerate(calls):
            if program == PUMP and data.startswith(bytes.fromhex(discriminator)):
                others = {key for other, (_, keys, _) in enumerate(own) if other != number for key in keys}
                found.append(Call(accounts, data, others | {self.keys[0]}))
        return found

    def events(self, discriminator: bytes) -> list[bytes]:
        """The events of one kind, from the calls to itself where there are any, else from the log."""
        tagged = [d[8:] for p, _, d in self.calls() if p == PUMP and d.startswith(EVENT_TAG)]
        if not tagged:
            tagged = [base64.b64decode(line[14:]) for line in self.logs if line.startswith("Program data: ")]
        return [event for event in tagged if event.startswith(discriminator)]


class Created:
    """A CreateEvent taken apart without the project's decoder: what every layout has, and reserves where given."""

    def __init__(self, event: bytes) -> None:
        at = 8
        texts = []
        for _ in range(3):
            size = int.from_bytes(event[at : at + 4], "little")
            texts.append(event[at + 4 : at + 4 + size].decode())
            at += 4 + size
        self.name, self.symbol, self.uri = texts
        keys = [event[at + 32 * n : at + 32 * n + 32] for n in range(4)]
        self.mint, self.curve, self.user = (str(Pubkey.from_bytes(key)) for key in keys[:3])
        has_more = len(event) >= at + 168
        self.creator = str(Pubkey.from_bytes(keys[3])) if has_more else self.user
        self.reserves = struct.unpack_from("<4Q", event, at + 136) if has_more else None


ROW = re.compile(r"^\| (pumpfun/\S+\.json) \|")
TRADE_FACT = re.compile(r"TradeEvent (buy|sell)/(\w+) sol=(\d+) tok=(\d+) fee_bps=(\w+)\+(\w+): ok\[([^\]]*)\]")
FORMULAS = ("cost_formula", "out_formula", "exactin_s", "exactin_s-1")


class TradeFact:
    """A trade the manifest describes, with the checks that came out equal to the unit."""

    def __init__(self, file: str, index: int, fields: tuple[str, ...]) -> None:
        self.file, self.index = file, index
        self.side, self.instruction = fields[0], fields[1]
        self.sol, self.tokens = int(fields[2]), int(fields[3])
        self.checks = set(fields[6].split(","))

    @property
    def formula(self) -> str | None:
        return next((formula for formula in FORMULAS if formula in self.checks), None)


def trade_facts(manifest: str) -> list[TradeFact]:
    """Every trade of pump.fun in the manifest's rows, in their order."""
    facts = []
    for line in manifest.splitlines():
        row = ROW.match(line)
        if row:
            facts += [TradeFact(row[1], n, m.groups()) for n, m in enumerate(TRADE_FACT.finditer(line))]
    return facts
