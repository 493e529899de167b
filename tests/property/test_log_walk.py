"""The log walk against a model that knows who spoke, on logs whose programs lie; the quick look against the walk."""

import base64
import json
from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st

from log_lines import PUMP, STRANGER, SYSTEM, TOKEN_2022, Log, frame
from pump_event_bytes import create_event, trade_event
from slotzero.detection import Detector, DropReason, Replay
from slotzero.solana.logs import is_surely_emitted_by, walk
from slotzero.units import MonoNs
from slotzero.venues.registry import PUMPFUN

PROGRAMS = [PUMP, STRANGER, SYSTEM, TOKEN_2022]
(CREATE_LINE,) = Log().data(create_event()).lines
LIES = [
    *(f"Program {program} invoke [{height}]" for program in PROGRAMS for height in (1, 2, 3)),
    *(f"Program {program} success" for program in PROGRAMS),
    *(f"x {program} invoke [1]" for program in PROGRAMS),
    "y invoke [2]",
    "all is a success",
    "it failed: no",
    "Log truncated",
    CREATE_LINE,
    f'","{CREATE_LINE}',
    f'"{CREATE_LINE}',
    f'","Program {PUMP} invoke [2]","',
    f"a\nProgram {PUMP} invoke [2]\nb",
    '\\","logs":["',
    "]",
]


@dataclass
class Node:
    """A call: what its program says and does, and whether it fails in the end."""

    program: str
    acts: "list[Node | bytes | str]" = field(default_factory=list)
    fails: bool = False


def acts(depth: int, *, is_honest: bool) -> st.SearchStrategy[list[Node | bytes | str]]:
    payloads = st.sampled_from([create_event(), trade_event(), b"other", create_event()[:60]])
    said = st.just("Instruction: Buy") if is_honest else st.one_of(st.sampled_from(LIES), st.text(max_size=12))
    below = nodes(depth - 1, is_honest=is_honest) if depth else st.nothing()
    return st.lists(st.one_of(payloads, said, below), max_size=4)


def nodes(depth: int, *, is_honest: bool = False) -> st.SearchStrategy[Node]:
    fails = st.just(value=False) if is_honest else st.sampled_from([False] * 9 + [True])
    return st.builds(Node, program=st.sampled_from(PROGRAMS), acts=acts(depth, is_honest=is_honest), fails=fails)


def write(log: Log, node: Node) -> None:
    log.invoke(node.program)
    for act in node.acts:
        match act:
            case Node():
                write(log, act)
            case bytes():
                log.data(act)
            case _:
                log.say(act)
    log.consumed()
    if node.fails:
        log.failed()
    else:
        log.success()


def written(trees: list[Node]) -> Log:
    log = Log()
    for tree in trees:
        write(log, tree)
    return log


TREES = st.lists(nodes(3), max_size=3)


@given(trees=TREES)
def test_walk_attributes_every_line_to_the_program_that_emitted_it(trees: list[Node]) -> None:
    log = written(trees)
    walked = walk(log.lines)
    assert walked.problem is None
    assert not walked.is_truncated
    assert [data.program for data in walked.data] == log.emitters


@given(trees=TREES)
def test_quick_look_is_never_sure_of_a_lie(trees: list[Node]) -> None:
    log = written(trees)
    text = frame(log.lines)
    if b"\\" in text:
        return  # not for such a text
    for program in PROGRAMS:
        line = b'"Program ' + program.encode()
        at = -1
        for emitter in log.emitters:
            at = text.find(b'"Program data: ', at + 1)
            if is_surely_emitted_by(text, at, line):
                assert emitter == program


@given(trees=st.lists(nodes(3, is_honest=True), max_size=3))
def test_quick_look_is_sure_of_every_truth_in_an_honest_log(trees: list[Node]) -> None:
    log = written(trees)
    text = frame(log.lines)
    at = -1
    for emitter in log.emitters:
        at = text.find(b'"Program data: ', at + 1)
        for program in PROGRAMS:
            assert is_surely_emitted_by(text, at, b'"Program ' + program.encode()) is (emitter == program)


@given(trees=TREES, is_compact=st.booleans())
def test_live_path_and_thorough_path_agree_on_every_consistent_log(
    trees: list[Node],
    is_compact: bool,  # noqa: FBT001 drawn
) -> None:
    log_frame = frame(written(trees).lines, is_compact=is_compact)
    live, thorough = Detector([PUMPFUN]), Detector([PUMPFUN])
    pools = live.on_frame(log_frame, MonoNs(1))
    assert pools == thorough.examine(log_frame, MonoNs(1))
    if live.stats.prefiltered:
        assert live.stats.dropped == thorough.stats.dropped


@given(trees=TREES)
def test_pool_comes_only_from_the_venues_own_event(trees: list[Node]) -> None:
    log = written(trees)
    truths = sum(
        emitter == PUMP and line == CREATE_LINE
        for emitter, line in zip(log.emitters, (x for x in log.lines if x.startswith("Program data: ")), strict=True)
    )
    detector = Detector([PUMPFUN])
    pools = detector.on_frame(frame(log.lines), MonoNs(1))
    assert len(pools) == min(truths, 1)  # the same mint again is a duplicate
    assert detector.stats.dropped.get(DropReason.DUPLICATE, 0) == max(truths - 1, 0)


@given(trees=TREES, cut=st.integers(0, 60), drawn=st.data())
def test_log_that_lost_lines_never_crashes_the_walk(trees: list[Node], cut: int, drawn: st.DataObject) -> None:
    lines = written(trees).lines
    kept = drawn.draw(st.lists(st.sampled_from(lines), max_size=cut)) if lines else []
    walked = walk(kept)
    assert walked.problem is None or walked.data == []


@given(document=st.binary(max_size=300))
@example(document=b'"kind":"')  # like a recording's line, cut
def test_random_bytes_are_counted_and_nothing_is_raised(document: bytes) -> None:
    detector, replay = Detector([PUMPFUN]), Replay()
    for shape in (document, b'"Program data: G3KpTd7rY3' + document, b"{" + document + b"}"):
        assert detector.on_frame(shape, MonoNs(1)) == []
        assert detector.examine(shape, MonoNs(1)) == []
        replay.feed(shape)
    assert detector.stats.frames == 6
    assert replay.report().frames == 3


@given(place=st.integers(0, 2_000), byte=st.integers(0, 255), size=st.integers(0, 2_000))
def test_damaged_frame_is_counted_and_nothing_is_raised(place: int, byte: int, size: int) -> None:
    whole = bytearray(frame(Log().invoke(PUMP).data(create_event()).data(trade_event()).success().lines))
    whole[place % len(whole)] = byte
    for damaged in (bytes(whole), bytes(whole[: size % len(whole)])):
        for detector in (Detector([PUMPFUN]), Detector([PUMPFUN], verifies_pools=True)):
            detector.on_frame(damaged, MonoNs(1))
            detector.examine(damaged, MonoNs(1))


KEYS = [
    "method",
    "params",
    "result",
    "transaction",
    "meta",
    "slot",
    "message",
    "signatures",
    "accountKeys",
    "instructions",
    "err",
    "innerInstructions",
    "index",
    "accounts",
    "data",
    "programIdIndex",
    "programId",
    "stackHeight",
    "loadedAddresses",
]
JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-5, 5), st.text(max_size=5), st.sampled_from(["84eT", "AAAA", PUMP])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=12,
)


@given(document=JSON)
def test_random_documents_are_counted_and_nothing_is_raised(document: object) -> None:
    replay = Replay()
    replay.feed(json.dumps(document).encode())
    assert replay.report().frames >= 1
    assert replay.report().creations == []


@given(wire=st.binary(max_size=400), encoding=st.sampled_from(["base64", "base58"]))
def test_random_bytes_as_a_transaction_are_malformed(wire: bytes, encoding: str) -> None:
    replay = Replay()
    text = base64.b64encode(wire).decode()
    document = {"transaction": [text, encoding], "meta": {"err": None}, "slot": 1}
    replay.feed(json.dumps(document).encode())
    assert replay.report().frames == 1
