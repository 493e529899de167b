"""The linker: what it makes runs in the VM; what it cannot link it refuses with one sentence."""

import struct

import pytest
from solders.instruction import AccountMeta, Instruction

from bpf_objects import CALL, EXIT, LOAD_ADDRESS, BpfObject, Section, op
from pump_world import World, key
from slotzero.errors import MalformedError
from slotzero.localnet.programs.link import link

GOOD = BpfObject()
PAYER = key(1)


def test_linked_program_runs_with_its_constant_its_call_and_its_system_call() -> None:
    world = World()
    world.fund(PAYER, 10**9)
    world.svm.add_program(key(500), link(GOOD.pack()))
    call = Instruction(key(500), b"", [AccountMeta(PAYER, is_signer=True, is_writable=True)])
    execution = world.svm.simulate(world._transaction(PAYER, [call], 0))
    assert execution.err == {"InstructionError": [0, {"Custom": 7}]}
    assert "Program log: hello" in execution.logs()


def test_call_of_a_named_function_leads_to_its_symbol() -> None:
    named = GOOD.changed(
        symbols=(*GOOD.symbols, ("seven", 0x02, 1, 48)),
        relocations=((0, 1, 2), (24, 10, 3), (32, 10, 5)),
    )
    assert link(named.pack()) == link(GOOD.pack())


def test_linking_is_deterministic() -> None:
    assert link(GOOD.pack()) == link(GOOD.pack())


def test_object_without_system_calls_or_constants_links() -> None:
    bare = GOOD.changed(text=op(0xB7, 0, 0, 7) + op(EXIT), constants=b"", relocations=())
    world = World()
    world.fund(PAYER, 10**9)
    world.svm.add_program(key(500), link(bare.pack()))
    assert world.attempt(PAYER, Instruction(key(500), b"", [])) == 7


def _entry_elsewhere() -> BpfObject:
    return GOOD.changed(symbols=(*GOOD.symbols[:4], ("start", 0x12, 1, 0)))


def _header(offset: int, layout: str, value: int) -> bytes:
    raw = bytearray(GOOD.pack())
    struct.pack_into(layout, raw, offset, value)
    return bytes(raw)


HOSTILE = {
    "nothing": (b"", "not a 64-bit little-endian ELF file"),
    "text": (b"#!/bin/sh\n" * 20, "not a 64-bit little-endian ELF file"),
    "32 bit": (GOOD.pack().replace(b"\x7fELF\x02", b"\x7fELF\x01", 1), "not a 64-bit little-endian ELF file"),
    "x86": (GOOD.changed(machine=62).pack(), "type 1, machine 62"),
    "linked already": (link(GOOD.pack()), "type 3, machine 247"),
    "cut off": (GOOD.pack()[:-1], "the section table ends at byte"),
    "section table far away": (_header(40, "<Q", 2**63), "the object is cut off"),
    "odd section headers": (_header(58, "<H", 40), "a section header has 64 bytes, not 40"),
    "names in no section": (_header(62, "<H", 99), "the section names are in section 99"),
    "writable data": (GOOD.changed(more=(Section(name=".data", body=b"x"),)).pack(), ".data is writable"),
    "zeroed data": (GOOD.changed(more=(Section(name=".bss.counter", body=b"x"),)).pack(), ".bss.counter is writable"),
    "second code section": (GOOD.changed(more=(Section(name=".text.f", body=op(EXIT)),)).pack(), "-ffunction-sections"),
    "table of pointers": (
        GOOD.changed(more=(Section(name=".rel.rodata", kind=9, link=4, info=3),)).pack(),
        "tables of pointers cannot be linked",
    ),
    "addends": (GOOD.changed(more=(Section(name=".rela.text", kind=4, info=1),)).pack(), "relocations with addends"),
    "no code": (GOOD.changed(text=b"").pack(), "no section .text"),
    "half an instruction": (GOOD.changed(text=op(EXIT)[:5], relocations=()).pack(), "no section .text"),
    "no entry": (_entry_elsewhere().pack(), "no function `entrypoint`"),
    "entry outside": (GOOD.changed(symbols=(*GOOD.symbols[:4], ("entrypoint", 0x12, 1, 800))).pack(), "`entrypoint`"),
    "relocation outside": (GOOD.changed(relocations=((640, 10, 3),)).pack(), "outside the code"),
    "relocation between": (GOOD.changed(relocations=((25, 10, 3),)).pack(), "outside the code"),
    "no such symbol": (GOOD.changed(relocations=((24, 10, 77),)).pack(), "names symbol 77 of 5"),
    "unknown relocation": (GOOD.changed(relocations=((24, 2, 3),)).pack(), "relocation 2 at 0x18"),
    "call outside": (
        GOOD.changed(text=GOOD.text[:36] + struct.pack("<i", 4000) + GOOD.text[40:]).pack(),
        "leads outside",
    ),
    "call before": (GOOD.changed(text=GOOD.text[:36] + struct.pack("<i", -9) + GOOD.text[40:]).pack(), "leads outside"),
    "constant outside": (
        GOOD.changed(text=op(LOAD_ADDRESS, 1, 0, 4000) + GOOD.text[8:]).pack(),
        "points outside the constants",
    ),
    "constant cut off": (
        GOOD.changed(text=op(EXIT) + op(LOAD_ADDRESS), relocations=((8, 1, 2),)).pack(),
        "the address load at 0x8 is cut off",
    ),
    "unnamed system call": (
        GOOD.changed(text=op(CALL, 0, 1, -1) + op(EXIT), relocations=((0, 10, 0),)).pack(),
        "relocation 10 at 0x0 against ''",
    ),
    "ragged relocations": (
        GOOD.changed(more=(Section(name=".rel.more", kind=9, body=b"12345", info=1),)).pack(),
        "no multiple of 16",
    ),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_object_is_refused_with_one_sentence(case: str) -> None:
    raw, sentence = HOSTILE[case]
    with pytest.raises(MalformedError) as refused:
        link(raw)
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)
