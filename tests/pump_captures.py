"""Captured pump.fun transactions in one form, whichever of the four JSON forms they were stored in."""

import base64
import json
import struct
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from solders.hash import Hash
from solders.instruction import AccountMeta, CompiledInstruction, Instruction
from solders.message import MessageAddressTableLookup, MessageHeader, MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from pump_world import EVENT_TAG
from slotzero.venues.pumpfun import PUMP_PROGRAM
from slotzero.venues.pumpfun.events import CREATE_DISCRIMINATOR, TRADE_DISCRIMINATOR

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
TRADE_INSTRUCTIONS = {
    bytes.fromhex("66063d1201daebea"): "buy",
    bytes.fromhex("38fc74089edfcd5f"): "buy_exact_sol_in",
    bytes.fromhex("33e685a4017f83ad"): "sell",
    bytes.fromhex("b817ee6167c5d33d"): "buy_v2",
    bytes.fromhex("c2ab1c46684d5b2f"): "buy_exact_quote_in_v2",
    bytes.fromhex("5df6823ce7e940b2"): "sell_v2",
}
# A captured document is JSON: nothing is known of its shape before it is looked at.
Json = Any


def decode_base58(text: str) -> bytes:
    number = 0
    for character in text:
        number = number * 58 + _ALPHABET.index(character)
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def account_document(path: Path) -> bytes:
    """The data of an account stored as `{"account": {"data": [base64, "base64"]}}`."""
    return base64.b64decode(json.loads(path.read_text())["account"]["data"][0])


class Capture:
    """One transaction that landed on mainnet.

    Attributes:
        name: The file's name without its ending.
        keys: Every account, those of lookup tables included.
        before: Lamports before it, in the order of `keys`.
        after: And behind it.
    """

    def __init__(self, path: Path) -> None:
        document: Json = json.loads(path.read_text())
        document = document.get("result", document)
        self.name = path.stem
        self.document = document
        self.meta: Json = document["meta"]
        self.before: list[int] = self.meta["preBalances"]
        self.after: list[int] = self.meta["postBalances"]
        encoded = document["transaction"]
        self.transaction = (
            VersionedTransaction.from_bytes(base64.b64decode(encoded[0])) if isinstance(encoded, list) else None
        )
        self.message: Json = None if self.transaction else encoded["message"]

    # ---- accounts ----

    @cached_property
    def own_keys(self) -> list[Pubkey]:
        if self.transaction:
            return list(self.transaction.message.account_keys)
        rows = self.message["accountKeys"]
        return [Pubkey.from_string(row if isinstance(row, str) else row["pubkey"]) for row in rows]

    @cached_property
    def loaded(self) -> tuple[list[Pubkey], list[Pubkey]]:
        """The writable and the readable accounts of lookup tables; parsed JSON has them among its own."""
        loaded = self.meta.get("loadedAddresses") or {"writable": [], "readonly": []}
        return [Pubkey.from_string(k) for k in loaded["writable"]], [Pubkey.from_string(k) for k in loaded["readonly"]]

    @cached_property
    def keys(self) -> list[Pubkey]:
        return [*self.own_keys, *self.loaded[0], *self.loaded[1]]

    @cached_property
    def signers(self) -> set[Pubkey]:
        if self.transaction:
            return set(self.own_keys[: self.transaction.message.header.num_required_signatures])
        rows = self.message["accountKeys"]
        if isinstance(rows[0], dict):
            return {key for key, row in zip(self.own_keys, rows, strict=True) if row["signer"]}
        return set(self.own_keys[: self.message["header"]["numRequiredSignatures"]])

    # ---- instructions ----

    def _keys_of(self, call: Json) -> tuple[Pubkey, list[Pubkey]]:
        if "programIdIndex" in call:
            return self.keys[call["programIdIndex"]], [self.keys[index] for index in call["accounts"]]
        return Pubkey.from_string(call["programId"]), [Pubkey.from_string(k) for k in call.get("accounts", [])]

    @cached_property
    def inner(self) -> list[tuple[Pubkey, list[Pubkey], bytes]]:
        """Program, accounts and data of the inner instructions, except those only a parsed form exists of."""
        groups = sorted(self.meta["innerInstructions"], key=lambda group: int(group["index"]))
        calls = [call for group in groups for call in group["instructions"] if "data" in call]
        return [(*self._keys_of(call), decode_base58(call["data"])) for call in calls]

    @cached_property
    def top(self) -> list[tuple[Pubkey, list[Pubkey], bytes]]:
        """The same of the transaction's own instructions."""
        if self.transaction:
            compiled = self.transaction.message.instructions
            return [
                (self.keys[i.program_id_index], [self.keys[a] for a in i.accounts], bytes(i.data)) for i in compiled
            ]
        return [
            (*self._keys_of(call), decode_base58(call["data"]))
            for call in self.message["instructions"]
            if "data" in call
        ]

    def trades(self) -> Iterator[Instruction]:
        """The trades with pump.fun, also those another program made, with their flags as the transaction has them."""
        for program, accounts, data in (*self.top, *self.inner):
            if program == PUMP_PROGRAM and data[:8] in TRADE_INSTRUCTIONS:
                metas = [AccountMeta(k, is_signer=k in self.signers, is_writable=True) for k in accounts]
                yield Instruction(PUMP_PROGRAM, data, metas)

    # ---- what it told ----

    def _events(self) -> Iterator[bytes]:
        return (data[8:] for program, _, data in self.inner if program == PUMP_PROGRAM and data.startswith(EVENT_TAG))

    @property
    def events(self) -> list[bytes]:
        """Every event of pump.fun, by self-CPI."""
        return list(self._events())

    @property
    def trade_events(self) -> list[bytes]:
        return [event for event in self._events() if event.startswith(TRADE_DISCRIMINATOR)]

    @property
    def creates(self) -> bool:
        return any(event.startswith(CREATE_DISCRIMINATOR) for event in self._events())

    # ---- run again ----

    def lookup_tables(self) -> Iterator[tuple[Pubkey, bytes]]:
        """Lookup tables that hold exactly what this transaction takes from them."""
        writable, readable = list(self.loaded[0]), list(self.loaded[1])
        for lookup in (self.message or {}).get("addressTableLookups") or []:
            entries = [Pubkey.default()] * 256
            for index in lookup["writableIndexes"]:
                entries[index] = writable.pop(0)
            for index in lookup["readonlyIndexes"]:
                entries[index] = readable.pop(0)
            head = struct.pack("<IQQBB", 1, 2**64 - 1, 0, 0, 0) + bytes(34)
            yield Pubkey.from_string(lookup["accountKey"]), head + b"".join(map(bytes, entries))

    def rebuilt(self) -> VersionedTransaction:
        """The transaction itself, with its own keys, blockhash and signatures."""
        if self.transaction:
            return self.transaction
        header = self.message["header"]
        message = MessageV0(
            MessageHeader(
                header["numRequiredSignatures"],
                header["numReadonlySignedAccounts"],
                header["numReadonlyUnsignedAccounts"],
            ),
            self.own_keys,
            Hash.from_string(self.message["recentBlockhash"]),
            [
                CompiledInstruction(call["programIdIndex"], decode_base58(call["data"]), bytes(call["accounts"]))
                for call in self.message["instructions"]
            ],
            [
                MessageAddressTableLookup(
                    Pubkey.from_string(lookup["accountKey"]),
                    bytes(lookup["writableIndexes"]),
                    bytes(lookup["readonlyIndexes"]),
                )
                for lookup in self.message.get("addressTableLookups") or []
            ],
        )
        signatures = [Signature.from_string(text) for text in self.document["transaction"]["signatures"]]
        return VersionedTransaction.populate(message, signatures)
