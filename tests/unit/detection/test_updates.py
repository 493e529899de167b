"""Geyser updates into pools: the same rules as for a log notification, and the instructions where the log was cut."""

from collections.abc import Sequence

import pytest
from solders.pubkey import Pubkey
from solders.signature import Signature

from log_lines import PUMP, SIGNATURE, STRANGER, SYSTEM, Log, frame
from pump_event_bytes import MINT, USER, create_event, trade_event
from slotzero.detection import Detector, DropReason
from slotzero.detection.detector import MAX_FRAME_BYTES
from slotzero.detection.updates import read_update
from slotzero.errors import MalformedError
from slotzero.solana.geyser_proto import geyser_pb2 as geyser
from slotzero.solana.geyser_proto import solana_storage_pb2 as storage
from slotzero.solana.logs import EVENT_TAG
from slotzero.units import MonoNs
from slotzero.venues.pumpfun import EVENT_AUTHORITY
from slotzero.venues.records import NewPool
from slotzero.venues.registry import PUMPFUN

NOW = MonoNs(5_000)
KEYS = [SYSTEM, PUMP, str(EVENT_AUTHORITY), STRANGER]


def creation(*events: bytes, program: str = PUMP) -> Log:
    log = Log().invoke(program).say("Instruction: CreateV2")
    for event in events:
        log.data(event).call(program)
    return log.success()


def self_call(event: bytes, *, program: int = 1, height: int = 2) -> storage.InnerInstruction:
    return storage.InnerInstruction(
        program_id_index=program, accounts=bytes([2]), data=EVENT_TAG + event, stack_height=height
    )


def update(
    lines: Sequence[str],
    *,
    inner: Sequence[storage.InnerInstruction] | None = None,
    is_failed: bool = False,
    mono_ns: int | None = None,
    signature: str = SIGNATURE,
    called: int = 1,
) -> bytes:
    """An executed transaction with one instruction, whose inner ones are not recorded unless given."""
    meta = storage.TransactionStatusMeta(
        err=storage.TransactionError(err=b"\7\0\0\0") if is_failed else None,
        log_messages=lines,
        inner_instructions=[] if inner is None else [storage.InnerInstructions(index=0, instructions=inner)],
        inner_instructions_none=inner is None,
        # The authority comes from a lookup table: loaded addresses follow the message's own.
        loaded_writable_addresses=[bytes(Pubkey.from_string(KEYS[2]))],
        loaded_readonly_addresses=[bytes(Pubkey.from_string(KEYS[3]))],
    )
    message = storage.Message(
        account_keys=[bytes(Pubkey.from_string(key)) for key in KEYS[:2]],
        instructions=[storage.CompiledInstruction(program_id_index=called, accounts=bytes([0]), data=b"\1")],
    )
    info = geyser.SubscribeUpdateTransactionInfo(
        signature=bytes(Signature.from_string(signature)),
        transaction=storage.Transaction(message=message),
        meta=meta,
    )
    told = geyser.SubscribeUpdateTransaction(transaction=info, slot=436863945)
    return geyser.SubscribeUpdate(filters=["t"], transaction=told, mono_ns=mono_ns).SerializeToString()


def detect(data: bytes) -> tuple[list[NewPool], dict[DropReason, int], Detector]:
    detector = Detector([PUMPFUN])
    pools = detector.on_update(data, NOW, read_update)
    return pools, detector.stats.dropped, detector


@pytest.mark.parametrize("mono_ns", [None, 4_000])
def test_creation_gives_the_pool_the_log_feed_gives(mono_ns: int | None) -> None:
    log = creation(create_event(), trade_event(tokens=5))
    by_log = Detector([PUMPFUN]).on_frame(frame(log.lines, mono_ns=mono_ns), NOW)
    pools, dropped, _ = detect(update(log.lines, mono_ns=mono_ns))
    assert pools == by_log
    assert len(pools) == 1
    assert dropped == {}


@pytest.mark.parametrize(
    ("log", "is_failed", "reason"),
    [
        (creation(create_event(), program=STRANGER), False, DropReason.FORGED_EVENT),
        (creation(create_event()), True, DropReason.FAILED_TRANSACTION),
        (creation(create_event()[:30]), False, DropReason.MALFORMED_EVENT),
        (creation(create_event()).cut(), False, DropReason.TRUNCATED_LOG),
    ],
)
def test_what_is_no_creation_is_dropped_for_the_same_reason(log: Log, is_failed: bool, reason: DropReason) -> None:  # noqa: FBT001 a parameter of the case
    by_log = Detector([PUMPFUN])
    assert by_log.on_frame(frame(log.lines, err="x" if is_failed else None), NOW) == []
    pools, dropped, _ = detect(update(log.lines, is_failed=is_failed))
    assert pools == []
    assert dropped == by_log.stats.dropped == {reason: 1}


@pytest.mark.parametrize("lines", [creation().cut().lines, [], creation(create_event()).cut().lines])
def test_cut_or_missing_log_is_replaced_by_the_instructions(lines: list[str]) -> None:
    inner = [self_call(create_event()), self_call(trade_event(tokens=9))]
    pools, dropped, _ = detect(update(lines, inner=inner))
    assert dropped == {}
    assert [(pool.mint, pool.creator, pool.creator_bought) for pool in pools] == [(MINT, USER, 9)]


def test_forged_self_call_is_none() -> None:
    for inner, called in ((self_call(create_event(), program=3), 1), (self_call(create_event()), 3)):
        pools, dropped, _ = detect(update([], inner=[inner], called=called))
        assert (pools, dropped) == ([], {DropReason.FORGED_EVENT: 1})


def test_log_that_is_not_beyond_doubt_is_walked() -> None:
    printed = Log().invoke(PUMP).say('a quote " and a backslash \\').data(create_event()).call(PUMP).success()
    assert len(detect(update(printed.lines))[0]) == 1
    broken = Log().invoke(STRANGER).invoke(PUMP).success().data(create_event())
    pools, dropped, _ = detect(update(broken.lines))
    assert (pools, dropped) == ([], {DropReason.INCONSISTENT_LOG: 1})


def test_update_without_a_creation_is_left_unread() -> None:
    detector = Detector([PUMPFUN])

    def read(_update: bytes) -> None:
        raise AssertionError("nothing in it looks like a creation")

    assert detector.on_update(update(creation(trade_event()).lines), NOW, read) == []
    assert detector.on_update(b"\0" * (MAX_FRAME_BYTES + 1), NOW, read) == []
    assert (detector.stats.frames, detector.stats.prefiltered) == (2, 0)
    assert detector.stats.dropped == {DropReason.FRAME_TOO_LARGE: 1}


def test_pool_of_the_log_feed_is_a_duplicate_here() -> None:
    detector = Detector([PUMPFUN])
    lines = creation(create_event()).lines
    assert len(detector.on_frame(frame(lines), NOW)) == 1
    assert detector.on_update(update(lines), NOW, read_update) == []
    assert detector.stats.dropped == {DropReason.DUPLICATE: 1}


def test_bytes_that_are_no_update_are_malformed() -> None:
    whole = update(creation(create_event()).lines)
    needle = b"Program data: G3KpTd7r"
    for broken in (b"\xff\xff" + whole, whole[:-3], needle + b"Y3\0" * 9):
        with pytest.raises(MalformedError):
            read_update(broken)
    _, dropped, _ = detect(whole[:-3])
    assert dropped == {DropReason.MALFORMED_FRAME: 1}
    short = geyser.SubscribeUpdate(
        transaction=geyser.SubscribeUpdateTransaction(transaction=geyser.SubscribeUpdateTransactionInfo(signature=b"x"))
    )
    with pytest.raises(MalformedError, match="64 bytes, not 1"):
        read_update(short.SerializeToString())
    slot = geyser.SubscribeUpdate(slot=geyser.SubscribeUpdateSlot(slot=5)).SerializeToString()
    assert read_update(slot) is None


def test_instructions_that_point_nowhere_are_malformed() -> None:
    for inner in (
        storage.InnerInstruction(program_id_index=9, data=EVENT_TAG + create_event(), stack_height=2),
        storage.InnerInstruction(program_id_index=1, accounts=b"\x63", data=EVENT_TAG + create_event(), stack_height=2),
        self_call(create_event(), height=0),
    ):
        pools, dropped, _ = detect(update([], inner=[inner]))
        assert (pools, dropped) == ([], {DropReason.MALFORMED_FRAME: 1})
