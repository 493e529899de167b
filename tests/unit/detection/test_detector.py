"""The detector as a dialogue: frames in, pools and counts out."""

import pytest
from solders.keypair import Keypair

from log_lines import PUMP, SIGNATURE, STRANGER, SYSTEM, TOKEN_2022, Log, frame
from pump_event_bytes import MINT, USER, create_event, trade_event, trade_fields
from slotzero.detection import Detector, DropReason
from slotzero.detection.detector import MAX_FRAME_BYTES
from slotzero.units import MonoNs
from slotzero.venues.records import NewPool
from slotzero.venues.registry import PUMPFUN

NOW = MonoNs(5_000)
OTHER_MINT = Keypair.from_seed(bytes([9]) * 32).pubkey()


def creation(*payloads: bytes, program: str = PUMP) -> Log:
    """A transaction in which a program creates a coin and emits these events behind it."""
    log = Log().call(SYSTEM).invoke(program).say("Instruction: CreateV2").call(SYSTEM)
    log.invoke(TOKEN_2022).say("Instruction: MintTo").success()
    for payload in payloads:
        log.data(payload).call(program)
    return log.success()


def ways(log_frame: bytes) -> list[tuple[list[NewPool], dict[DropReason, int]]]:
    """What the live path and the thorough one make of a frame."""
    live, thorough = Detector([PUMPFUN]), Detector([PUMPFUN])
    return [
        (live.on_frame(log_frame, NOW), live.stats.dropped),
        (thorough.examine(log_frame, NOW), thorough.stats.dropped),
    ]


@pytest.mark.parametrize("is_compact", [True, False])
def test_creation_gives_one_pool_either_way(is_compact: bool) -> None:  # noqa: FBT001 a parameter of the case
    for pools, dropped in ways(frame(creation(create_event()).lines, is_compact=is_compact)):
        assert dropped == {}
        (pool,) = pools
        assert (pool.venue, pool.mint, pool.creator, pool.user) == ("pumpfun", MINT, USER, USER)
        assert (pool.name, pool.symbol, pool.signature, pool.slot) == ("a coin", "COIN", SIGNATURE, 436863945)
        assert (pool.reserves.virtual_quote, pool.creator_bought) == (30_000_000_000, 0)
        assert (pool.mono_frame, pool.mono_cause, pool.starts_at) == (NOW, None, "frame")


def test_chains_own_instant_is_where_a_latency_starts() -> None:
    for pools, _ in ways(frame(creation(create_event()).lines, mono_ns=4_000)):
        assert (pools[0].mono_cause, pools[0].starts_at) == (4_000, "chain")


def test_trades_of_the_creating_transaction_move_the_reserves() -> None:
    log = creation(create_event())
    log.invoke(PUMP).data(trade_event(tokens=5)).success()
    log.invoke(PUMP).data(trade_event(tokens=7, virtual_sol=31_000_000_000)).success()
    log.invoke(PUMP).data(trade_event(tokens=4, is_buy=False, virtual_sol=30_500_000_000)).success()
    for pools, dropped in ways(frame(log.lines)):
        assert dropped == {}
        assert pools[0].creator_bought == 12
        assert pools[0].reserves.virtual_quote == 30_500_000_000
        assert pools[0].reserves.virtual_token == 1_038_800_796_845_859


def test_trade_of_another_coin_moves_nothing() -> None:
    log = creation(create_event())
    log.invoke(PUMP).data(trade_event(mint=OTHER_MINT)).success()
    for pools, _ in ways(frame(log.lines)):
        assert (pools[0].creator_bought, pools[0].reserves.virtual_quote) == (0, 30_000_000_000)


def test_trade_a_stranger_emits_moves_nothing() -> None:
    log = creation(create_event())
    log.invoke(STRANGER).data(trade_event()).success()
    for pools, _ in ways(frame(log.lines)):
        assert (pools[0].creator_bought, pools[0].reserves.virtual_quote) == (0, 30_000_000_000)


def test_several_creations_in_one_transaction_give_several_pools() -> None:
    log = creation(create_event(), create_event(mint=OTHER_MINT, symbol="TWO"))
    log.invoke(PUMP).data(trade_event(mint=OTHER_MINT, tokens=3)).success()
    for pools, dropped in ways(frame(log.lines)):
        assert dropped == {}
        assert [(pool.mint, pool.symbol, pool.creator_bought) for pool in pools] == [
            (MINT, "COIN", 0),
            (OTHER_MINT, "TWO", 3),
        ]


def test_creation_made_through_another_program_counts() -> None:
    log = Log().invoke(STRANGER).invoke(PUMP).call(TOKEN_2022).data(create_event()).call(PUMP).success().success()
    for pools, dropped in ways(frame(log.lines)):
        assert dropped == {}
        assert len(pools) == 1


def test_failed_transaction_is_dropped() -> None:
    for pools, dropped in ways(frame(creation(create_event()).lines, err={"InstructionError": [3, {"Custom": 3}]})):
        assert (pools, dropped) == ([], {DropReason.FAILED_TRANSACTION: 1})


@pytest.mark.parametrize(
    "log",
    [
        creation(create_event(), program=STRANGER),
        Log().invoke(STRANGER).call(PUMP).data(create_event()).success(),
        Log().invoke(PUMP).success().data(create_event()),
        Log().invoke(STRANGER).say(f"Program {PUMP} invoke [2]").data(create_event()).success(),
    ],
)
def test_event_of_another_program_is_forged(log: Log) -> None:
    for pools, dropped in ways(frame(log.lines)):
        assert (pools, dropped) == ([], {DropReason.FORGED_EVENT: 1})


def test_event_as_text_in_a_message_is_forged() -> None:
    (text,) = Log().data(create_event()).lines
    log = Log().invoke(STRANGER).say('"' + text).success()
    for pools, dropped in ways(frame(log.lines)):
        assert (pools, dropped) == ([], {DropReason.FORGED_EVENT: 1})


def test_forged_event_beside_a_true_one_leaves_the_true_one() -> None:
    log = creation(create_event())
    log.invoke(STRANGER).data(create_event(mint=OTHER_MINT)).success()
    for pools, dropped in ways(frame(log.lines)):
        assert [pool.mint for pool in pools] == [MINT]
        assert dropped == {DropReason.FORGED_EVENT: 1}


def test_cut_log_is_dropped() -> None:
    log = creation(create_event())
    for lines in ([*log.lines, "Log truncated"], [*log.lines[:3], "Log truncated", *log.lines[3:]]):
        for pools, dropped in ways(frame(lines)):
            assert (pools, dropped) == ([], {DropReason.TRUNCATED_LOG: 1})


def test_cut_log_without_a_creation_is_counted_when_it_is_long() -> None:
    detector = Detector([PUMPFUN])
    assert detector.on_frame(frame(["x" * 10_000, "Log truncated"]), NOW) == []
    assert detector.on_frame(frame(['x"Log truncated" ' * 1_000, ',"Log truncated']), NOW) == []
    assert detector.stats.dropped == {DropReason.TRUNCATED_LOG: 1}
    assert detector.stats.prefiltered == 0


def test_inconsistent_log_is_dropped_where_the_log_is_walked() -> None:
    lines = creation(create_event()).lines[:-1]
    detector = Detector([PUMPFUN])
    assert detector.examine(frame(lines), NOW) == []
    assert detector.stats.dropped == {DropReason.INCONSISTENT_LOG: 1}


@pytest.mark.parametrize("cut", [1, 2, 40, 400])
def test_truncated_frame_is_malformed(cut: int) -> None:
    whole = frame(creation(create_event()).lines)
    for pools, dropped in ways(whole[:-cut]):
        assert (pools, dropped) == ([], {DropReason.MALFORMED_FRAME: 1})


def test_frame_of_another_shape_is_malformed() -> None:
    marker = b'"Program data: G3KpTd7rY3"'
    for shape in (
        marker,
        b"[%s]" % marker,
        b'{"params":{"result":%s}}' % marker,
        b'{"params":null,"logs":[%s]}' % marker,
    ):
        for pools, dropped in ways(shape):
            assert (pools, dropped) == ([], {DropReason.MALFORMED_FRAME: 1})


def test_frame_past_the_limit_is_dropped_unread() -> None:
    for pools, dropped in ways(frame(creation(create_event()).lines) + b" " * MAX_FRAME_BYTES):
        assert (pools, dropped) == ([], {DropReason.FRAME_TOO_LARGE: 1})


@pytest.mark.parametrize(
    "payload",
    [
        create_event()[:-3],
        create_event()[:7] + b"\x7f" + create_event()[8:],  # the last byte of the discriminator; the marker still fits
        create_event()[:8] + b"\xff\xff\xff\xff" + create_event()[12:],
    ],
)
def test_creation_that_cannot_be_read_is_malformed(payload: bytes) -> None:
    for pools, dropped in ways(frame(creation(payload).lines)):
        assert (pools, dropped) == ([], {DropReason.MALFORMED_EVENT: 1})


def test_creation_that_is_no_base64_is_malformed() -> None:
    lines = creation(create_event()).lines
    lines = [line.replace("G3KpTd7rY3", "G3KpTd7rY3=!") for line in lines]
    for pools, dropped in ways(frame(lines)):
        assert (pools, dropped) == ([], {DropReason.MALFORMED_EVENT: 1})


def test_trade_that_cannot_be_read_is_counted_and_the_pool_stays() -> None:
    log = creation(create_event())
    log.invoke(PUMP).data(b"".join(trade_fields()[:5])).success()
    for pools, dropped in ways(frame(log.lines)):
        assert len(pools) == 1
        assert dropped == {DropReason.MALFORMED_EVENT: 1}


def test_creation_without_its_event_is_counted_where_every_frame_is_looked_into() -> None:
    changed = b"\0" + create_event()[1:]
    detector = Detector([PUMPFUN])
    assert detector.examine(frame(creation(changed).lines), NOW) == []
    assert detector.examine(frame(creation(changed, program=STRANGER).lines), NOW) == []
    assert detector.stats.dropped == {DropReason.MALFORMED_EVENT: 1}


def test_same_pool_again_is_a_duplicate() -> None:
    detector = Detector([PUMPFUN])
    log_frame = frame(creation(create_event()).lines)
    assert len(detector.on_frame(log_frame, NOW)) == 1
    assert detector.on_frame(log_frame, NOW) == []
    assert len(detector.on_frame(log_frame.replace(SIGNATURE.encode(), b"another"), NOW)) == 1
    stats = detector.stats
    assert (stats.frames, stats.prefiltered, stats.pools) == (3, 3, 2)
    assert stats.dropped == {DropReason.DUPLICATE: 1}


def test_memory_for_duplicates_is_bounded_and_forgets_the_oldest() -> None:
    detector = Detector([PUMPFUN], remembered=2)
    frames = [frame(creation(create_event()).lines, signature=f"s{n}") for n in range(3)]
    for log_frame in frames:
        assert len(detector.on_frame(log_frame, NOW)) == 1
    assert detector.on_frame(frames[2], NOW) == []
    assert len(detector.on_frame(frames[0], NOW)) == 1


def test_pool_that_is_not_derived_from_its_mint_is_dropped_where_that_is_verified() -> None:
    log_frame = frame(creation(create_event(curve=USER)).lines)
    assert len(Detector([PUMPFUN]).on_frame(log_frame, NOW)) == 1
    detector = Detector([PUMPFUN], verifies_pools=True)
    assert detector.on_frame(log_frame, NOW) == []
    assert detector.stats.dropped == {DropReason.FORGED_EVENT: 1}


def test_frame_without_a_creation_is_left_alone() -> None:
    detector = Detector([PUMPFUN])
    log = Log().invoke(PUMP).say("Instruction: Buy").data(trade_event()).success()
    assert detector.on_frame(frame(log.lines), NOW) == []
    assert detector.on_frame(b'{"jsonrpc":"2.0","result":7,"id":1}', NOW) == []
    assert detector.stats.frames == 2
    assert (detector.stats.prefiltered, detector.stats.dropped) == (0, {})


def test_message_with_a_quotation_mark_does_not_hide_a_creation() -> None:
    log = creation(create_event())
    log.invoke(STRANGER).say('it said "hello"').success()
    for pools, dropped in ways(frame(log.lines)):
        assert len(pools) == 1
        assert dropped == {}
