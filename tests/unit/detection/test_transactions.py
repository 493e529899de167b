"""Executed transactions as documents, in every encoding."""

import base64
import json

import msgspec
import pytest
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, MessageV1
from solders.transaction import VersionedTransaction

from log_lines import PUMP, SIGNATURE, STRANGER, SYSTEM
from slotzero.detection.transactions import TransactionDocument, executed_calls, log_notification
from slotzero.errors import MalformedError
from slotzero.solana.logs import InnerCall
from slotzero.venues.pumpfun import EVENT_AUTHORITY, PUMP_PROGRAM

AUTHORITY = str(EVENT_AUTHORITY)
DATA = "84eT"  # 15 07 00


def document(**changes: object) -> TransactionDocument:
    """A transaction in which pump calls itself, in the json encoding."""
    fields: dict[str, object] = {
        "slot": 9,
        "version": 1,
        "transaction": {
            "signatures": [SIGNATURE],
            "message": {
                "accountKeys": [SYSTEM, STRANGER],
                "transactionConfig": {"priorityFee": 5},
                "instructions": [{"programIdIndex": 2, "accounts": [0, 3], "data": DATA, "stackHeight": 1}],
            },
        },
        "meta": {
            "err": None,
            "logMessages": ["a line"],
            "loadedAddresses": {"writable": [PUMP], "readonly": [AUTHORITY]},
            "innerInstructions": [
                {
                    "index": 0,
                    "instructions": [{"programIdIndex": 2, "accounts": [3], "data": "2", "stackHeight": 2}],
                }
            ],
        },
    }
    fields.update(changes)
    return msgspec.json.decode(json.dumps(fields), type=TransactionDocument)


def inner(*instructions: dict[str, object]) -> dict[str, object]:
    return {"err": None, "innerInstructions": [{"index": 0, "instructions": list(instructions)}]}


EXPECTED = [
    InnerCall(program=PUMP, accounts=[SYSTEM, AUTHORITY], data=b"\x15\x07\x00", height=1),
    InnerCall(program=PUMP, accounts=[AUTHORITY], data=b"\x01", height=2),
]


def test_json_encoding_resolves_loaded_addresses() -> None:
    notification = log_notification(document())
    assert (notification.signature, notification.slot, notification.lines) == (SIGNATURE, 9, ["a line"])
    assert not notification.is_failed
    assert log_notification(document(), slot=7).slot == 7
    assert executed_calls(document()) == EXPECTED


def test_parsed_encoding_is_read_where_an_instruction_is_not_parsed() -> None:
    parsed = document(
        transaction={
            "signatures": [SIGNATURE],
            "message": {
                "accountKeys": [{"pubkey": SYSTEM, "signer": True, "writable": True, "source": "transaction"}],
                "instructions": [{"programId": PUMP, "accounts": [SYSTEM, AUTHORITY], "data": DATA}],
            },
        },
        meta=inner(
            {"programId": PUMP, "accounts": [AUTHORITY], "data": "2", "stackHeight": 2},
            {"programId": SYSTEM, "program": "system", "parsed": {"type": "transfer"}, "stackHeight": 2},
        ),
    )
    assert executed_calls(parsed) == [*EXPECTED, InnerCall(program=SYSTEM, accounts=[], data=b"", height=2)]


def test_heights_that_are_missing_somewhere_are_given_nowhere() -> None:
    calls = executed_calls(document(meta=inner({"programIdIndex": 1, "accounts": [], "data": ""}), **WITHOUT_LOADED))
    assert calls is not None
    assert [call.height for call in calls] == [None, None]


WITHOUT_LOADED: dict[str, object] = {
    "transaction": {
        "signatures": [SIGNATURE],
        "message": {"accountKeys": [SYSTEM, PUMP], "instructions": [{"programIdIndex": 1, "accounts": [], "data": ""}]},
    }
}


@pytest.mark.parametrize("kind", [MessageV0, MessageV1])
def test_bytes_of_a_transaction_are_read_in_every_version(kind: type[MessageV0 | MessageV1]) -> None:
    payer = Keypair.from_seed(bytes([1]) * 32)
    instruction = Instruction(PUMP_PROGRAM, b"x", [AccountMeta(EVENT_AUTHORITY, is_signer=False, is_writable=False)])
    if kind is MessageV0:
        message: MessageV0 | MessageV1 = MessageV0.try_compile(payer.pubkey(), [instruction], [], Hash.default())
    else:
        message = MessageV1.try_compile(payer.pubkey(), [instruction], Hash.default())
    signed = VersionedTransaction(message, [payer])
    text = base64.b64encode(bytes(signed)).decode()
    keys = [str(key) for key in message.account_keys]
    index = keys.index(PUMP)
    meta = inner({"programIdIndex": index, "accounts": [keys.index(AUTHORITY)], "data": "2", "stackHeight": 2})
    wire = document(transaction=[text, "base64"], meta=meta)
    assert log_notification(wire).signature == str(signed.signatures[0])
    calls = executed_calls(wire)
    assert calls is not None
    assert [(call.program, list(call.accounts), call.height) for call in calls] == [
        (PUMP, [AUTHORITY], 1),
        (PUMP, [AUTHORITY], 2),
    ]


@pytest.mark.parametrize("missing", [None, []])
def test_inner_instructions_that_are_not_recorded_are_none(missing: list[object] | None) -> None:
    assert executed_calls(document(meta={"err": None, "innerInstructions": missing})) is None


def test_failure_is_told() -> None:
    assert log_notification(document(meta={"err": {"InstructionError": [0, "x"]}})).is_failed


@pytest.mark.parametrize(
    "changes",
    [
        {"meta": None},
        {"transaction": {"signatures": [], "message": {"accountKeys": [], "instructions": []}}},
        {"transaction": ["!", "base64"]},
        {"transaction": ["AAAA", "base64"]},
        {"transaction": ["AAAA", "base64+zstd"]},
        {"transaction": ["AAAA"]},
        {"transaction": "0"},
        {"transaction": "2"},
        {"meta": inner({"programIdIndex": 99, "accounts": [], "data": "", "stackHeight": 2})},
        {"meta": inner({"programIdIndex": 0, "accounts": [-1], "data": "", "stackHeight": 2})},
        {"meta": inner({"programIdIndex": 0, "accounts": [], "data": "0", "stackHeight": 2})},
        {"meta": inner({"programIdIndex": 0, "accounts": [], "data": "", "stackHeight": 0})},
        {"meta": inner({"accounts": [], "data": "", "stackHeight": 2})},
    ],
)
def test_document_that_makes_no_sense_is_malformed(changes: dict[str, object]) -> None:
    broken = document(**changes)

    def read() -> None:
        log_notification(broken)
        executed_calls(broken)

    with pytest.raises(MalformedError):
        read()
