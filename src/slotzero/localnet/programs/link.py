"""Link one object of `clang -target bpfel` into a program file that the Solana loader accepts (sBPF version 0).

The format, as the loader (the solana-sbpf crate) reads it: a 64-bit little-endian ELF file of type DYN for the machine
247, mapped as a whole at 0x100000000. Four things differ from the object:

* A load of a constant's address (`lddw`, relocation 1) is filled in with the address the constant will have.
* A call between our own functions (relocation 10) becomes a relative call.
* A call of an undefined symbol is a system call; it stays as it is and gets a dynamic relocation that names the symbol.
* The sections stand in the order of their offsets, and `.text` is mapped where it lies in the file.

Not supported, and refused with a sentence: writable data, several code sections, and read-only data that contains
addresses. Standard library only, so records here are dataclasses: the build runs where nothing but the compiler is
installed.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from slotzero.errors import MalformedError

__all__ = ["link"]

IMAGE_BASE: Final = 0x1_0000_0000
"""Where the loader maps the file."""

_MACHINE_BPF: Final = 247
_TYPE_RELOCATABLE: Final = 1
_TYPE_DYNAMIC: Final = 3
_ELF_HEADER: Final = struct.Struct("<4s5B7xHHIQQQIHHHHHH")
_PROGRAM_HEADER: Final = struct.Struct("<IIQQQQQQ")
_SECTION_HEADER: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_RELOCATION: Final = struct.Struct("<QQ")
_DYNAMIC_TAG: Final = struct.Struct("<QQ")

_SECTION_SYMBOLS: Final = 2
_SECTION_RELOCATIONS_ADDEND: Final = 4
_SECTION_NO_BITS: Final = 8
_SECTION_RELOCATIONS: Final = 9
_SYMBOL_IS_SECTION: Final = 3
_UNDEFINED: Final = 0

_RELOCATE_ADDRESS: Final = 1
_RELOCATE_CALL: Final = 10
_OPCODE_LOAD_ADDRESS: Final = 0x18
_OPCODE_CALL: Final = 0x85
_CALL_RELATIVE: Final = 1
_INSTRUCTION_SIZE: Final = 8


class _Section(NamedTuple):
    name: str
    kind: int
    link: int
    info: int
    size: int
    body: bytes


class _Symbol(NamedTuple):
    name: str
    is_section: bool
    section: int
    value: int


class _Relocation(NamedTuple):
    offset: int
    kind: int
    symbol: _Symbol


@dataclass(frozen=True, kw_only=True)
class _BpfObject:
    """What the linker needs of an object file.

    Attributes:
        constants: All read-only data, one section after the other.
        constants_at: Where in `constants` the section of an index begins.
        entry: The offset of `entrypoint` in `text`.
    """

    text: bytes
    text_index: int
    entry: int
    relocations: tuple[_Relocation, ...]
    constants: bytes
    constants_at: dict[int, int]


def link(raw: bytes) -> bytes:
    """Return the loadable program file of one relocatable BPF object. *Pure*; the same input gives the same bytes.

    Raises:
        MalformedError: `raw` is no such object, or uses something a program of ours may not.
    """
    source = _read_object(raw)
    text_at = _ELF_HEADER.size + 3 * _PROGRAM_HEADER.size
    constants_at = text_at + len(source.text)
    calls: list[tuple[int, str]] = []
    text = _relocate(source, IMAGE_BASE + constants_at, lambda offset, name: calls.append((offset, name)))
    return _write_file(source, text, text_at, calls)


# ---- reading ----


def _padded(data: bytes, alignment: int) -> bytes:
    return data + bytes(-len(data) % alignment)


def _slice(raw: bytes, offset: int, size: int, what: str) -> bytes:
    if offset + size > len(raw):
        raise MalformedError(f"the object is cut off: {what} ends at byte {offset + size} of {len(raw)}")
    return raw[offset : offset + size]


def _name(table: bytes, offset: int) -> str:
    end = table.find(b"\0", offset)
    if end < 0:
        raise MalformedError(f"a name at byte {offset} of the string table has no end")
    return table[offset:end].decode("ascii", "replace")


def _rows(layout: struct.Struct, body: bytes, what: str) -> list[tuple[int, ...]]:
    if len(body) % layout.size:
        raise MalformedError(f"{what} holds {len(body)} bytes, no multiple of {layout.size}")
    return list(layout.iter_unpack(body))


def _section_at(sections: list[_Section], index: int, what: str) -> _Section:
    if index >= len(sections):
        raise MalformedError(f"{what} names section {index} of {len(sections)}")
    return sections[index]


def _read_sections(raw: bytes) -> list[_Section]:
    if len(raw) < _ELF_HEADER.size or raw[:6] != b"\x7fELF\x02\x01":
        raise MalformedError("not a 64-bit little-endian ELF file")
    fields = _ELF_HEADER.unpack_from(raw)
    kind, machine, table_at, header_size, count, names_index = (fields[i] for i in (6, 7, 11, 16, 17, 18))
    if (kind, machine) != (_TYPE_RELOCATABLE, _MACHINE_BPF):
        raise MalformedError(f"not a relocatable BPF object: type {kind}, machine {machine}")
    if header_size != _SECTION_HEADER.size:
        raise MalformedError(f"a section header has {_SECTION_HEADER.size} bytes, not {header_size}")
    table = _slice(raw, table_at, count * _SECTION_HEADER.size, "the section table")
    headers = _rows(_SECTION_HEADER, table, "the section table")
    if names_index >= count:
        raise MalformedError(f"the section names are in section {names_index} of {count}")

    def body(header: tuple[int, ...]) -> bytes:
        return b"" if header[1] == _SECTION_NO_BITS else _slice(raw, header[4], header[5], "a section")

    names = body(headers[names_index])
    return [_Section(_name(names, h[0]), h[1], h[6], h[7], h[5], body(h)) for h in headers]


def _refuse_unsupported(sections: list[_Section], constants: list[int]) -> None:
    for section in sections:
        if section.size and section.name.startswith((".data", ".bss")):
            raise MalformedError(f"section {section.name} is writable: a program cannot have writable globals")
        if section.size and section.name.startswith(".text."):
            raise MalformedError(
                f"section {section.name} is a second code section: compile without -ffunction-sections"
            )
        if section.kind in (_SECTION_RELOCATIONS, _SECTION_RELOCATIONS_ADDEND) and section.info in constants:
            raise MalformedError(
                f"{sections[section.info].name} contains addresses: tables of pointers cannot be linked"
            )


def _read_symbols(sections: list[_Section]) -> list[_Symbol]:
    table = next((section for section in sections if section.kind == _SECTION_SYMBOLS), None)
    if table is None:
        raise MalformedError("the object has no symbol table")
    names = _section_at(sections, table.link, "the symbol table").body
    return [
        _Symbol(_name(names, name), info & 15 == _SYMBOL_IS_SECTION, section, value)
        for name, info, _other, section, value, _size in _rows(_SYMBOL, table.body, "the symbol table")
    ]


def _read_relocations(sections: list[_Section], symbols: list[_Symbol], text_index: int) -> list[_Relocation]:
    relocations = []
    for section in sections:
        if section.info != text_index:
            continue
        if section.kind == _SECTION_RELOCATIONS_ADDEND:
            raise MalformedError(f"{section.name} has relocations with addends, which BPF objects do not use")
        if section.kind != _SECTION_RELOCATIONS:
            continue
        for offset, packed in _rows(_RELOCATION, section.body, section.name):
            index = packed >> 32
            if index >= len(symbols):
                raise MalformedError(f"{section.name} names symbol {index} of {len(symbols)}")
            relocations.append(_Relocation(offset, packed & 0xFFFF_FFFF, symbols[index]))
    return relocations


def _read_object(raw: bytes) -> _BpfObject:
    sections = _read_sections(raw)
    constant_indexes = [i for i, section in enumerate(sections) if section.name.startswith(".rodata")]
    _refuse_unsupported(sections, constant_indexes)
    text_index = next((i for i, section in enumerate(sections) if section.name == ".text"), None)
    if text_index is None or not sections[text_index].body or len(sections[text_index].body) % _INSTRUCTION_SIZE:
        raise MalformedError("the object has no section .text of whole instructions")
    symbols = _read_symbols(sections)
    entry = next((s.value for s in symbols if s.name == "entrypoint" and s.section == text_index), None)
    if entry is None or entry % _INSTRUCTION_SIZE or entry >= len(sections[text_index].body):
        raise MalformedError("the object defines no function `entrypoint`")
    constants = b""
    constants_at = {}
    for index in constant_indexes:
        constants = _padded(constants, 16)  # the widest alignment LLVM asks for here
        constants_at[index] = len(constants)
        constants += sections[index].body
    return _BpfObject(
        text=sections[text_index].body,
        text_index=text_index,
        entry=entry,
        relocations=tuple(_read_relocations(sections, symbols, text_index)),
        constants=_padded(constants, 8),
        constants_at=constants_at,
    )


# ---- relocating ----


def _relocate(source: _BpfObject, constants_address: int, on_system_call: Callable[[int, str], None]) -> bytes:
    """Return the code with every address filled in; system calls are told to `on_system_call` by offset and name."""
    text = bytearray(source.text)
    for offset, kind, symbol in source.relocations:
        if offset % _INSTRUCTION_SIZE or offset + _INSTRUCTION_SIZE > len(text):
            raise MalformedError(f"a relocation at {offset:#x} is outside the code")
        opcode = text[offset]
        immediate = int.from_bytes(text[offset + 4 : offset + 8], "little", signed=True)
        if kind == _RELOCATE_ADDRESS and opcode == _OPCODE_LOAD_ADDRESS and symbol.section in source.constants_at:
            if offset + 2 * _INSTRUCTION_SIZE > len(text):
                raise MalformedError(f"the address load at {offset:#x} is cut off")
            within = source.constants_at[symbol.section] + symbol.value + immediate
            if not 0 <= within <= len(source.constants):
                raise MalformedError(f"the address load at {offset:#x} points outside the constants")
            address = constants_address + within
            struct.pack_into("<I", text, offset + 4, address & 0xFFFF_FFFF)
            struct.pack_into("<I", text, offset + 12, address >> 32)
        elif kind == _RELOCATE_CALL and opcode == _OPCODE_CALL and symbol.section == source.text_index:
            # Of a static function the compiler names the section; the target is then in the instruction, in units of
            # instructions behind the call.
            target = symbol.value + (immediate + 1) * _INSTRUCTION_SIZE if symbol.is_section else symbol.value
            if target % _INSTRUCTION_SIZE or not 0 <= target < len(text):
                raise MalformedError(f"the call at {offset:#x} leads outside the code")
            text[offset + 1] = _CALL_RELATIVE << 4
            struct.pack_into("<i", text, offset + 4, (target - offset) // _INSTRUCTION_SIZE - 1)
        elif kind == _RELOCATE_CALL and opcode == _OPCODE_CALL and symbol.section == _UNDEFINED and symbol.name:
            on_system_call(offset, symbol.name)
        else:
            raise MalformedError(f"relocation {kind} at {offset:#x} against {symbol.name!r} is not supported")
    return bytes(text)


# ---- writing ----


class _SectionTable:
    """Section headers and their names, in the order in which they are added."""

    def __init__(self) -> None:
        self.headers: list[tuple[int, ...]] = [(0,) * 10]
        self.names = b"\0"

    def add(
        self, name: str, *, kind: int, flags: int, at: int, size: int, link: int = 0, info: int = 0, entry_size: int = 0
    ) -> None:
        """Append a section; one that is mapped (flag 2) has its file offset as its address."""
        address = at if flags & 2 else 0
        self.headers.append((len(self.names), kind, flags, address, at, size, link, info, 8, entry_size))
        self.names += name.encode() + b"\0"

    def pack(self) -> bytes:
        return b"".join(_SECTION_HEADER.pack(*header) for header in self.headers)


def _dynamic_symbols(names: list[str]) -> tuple[bytes, bytes]:
    """Return the symbol table and the string table of the system calls."""
    symbols = bytes(_SYMBOL.size)
    strings = b"\0"
    for name in names:
        symbols += _SYMBOL.pack(len(strings), 0x10, 0, _UNDEFINED, 0, 0)  # 0x10: global, no type
        strings += name.encode() + b"\0"
    return symbols, _padded(strings, 8)


def _dynamic_section(*, symbols_at: int, strings_at: int, strings_size: int, calls_at: int, calls_size: int) -> bytes:
    tags = []
    if calls_size:  # the loader refuses an empty relocation table
        tags += [(0x1E, 4), (17, calls_at), (18, calls_size), (19, _RELOCATION.size)]  # FLAGS, REL, RELSZ, RELENT
    tags += [(6, symbols_at), (11, _SYMBOL.size), (5, strings_at), (10, strings_size)]  # SYMTAB, SYMENT, STRTAB, STRSZ
    tags += [(0x16, 0), (0, 0)]  # TEXTREL, NULL
    return b"".join(_DYNAMIC_TAG.pack(*tag) for tag in tags).ljust(10 * _DYNAMIC_TAG.size, b"\0")


def _write_file(source: _BpfObject, text: bytes, text_at: int, calls: list[tuple[int, str]]) -> bytes:
    names = sorted({name for _, name in calls})
    number = {name: index for index, name in enumerate(names, 1)}
    symbols, strings = _dynamic_symbols(names)
    relocations = b"".join(
        _RELOCATION.pack(text_at + offset, number[name] << 32 | _RELOCATE_CALL) for offset, name in calls
    )

    constants_at = text_at + len(text)
    dynamic_at = constants_at + len(source.constants)
    dynamic_size = 10 * _DYNAMIC_TAG.size
    symbols_at = dynamic_at + dynamic_size
    strings_at = symbols_at + len(symbols)
    calls_at = strings_at + len(strings)
    names_at = calls_at + len(relocations)
    dynamic = _dynamic_section(
        symbols_at=symbols_at,
        strings_at=strings_at,
        strings_size=len(strings),
        calls_at=calls_at,
        calls_size=len(relocations),
    )

    table = _SectionTable()
    table.add(".text", kind=1, flags=6, at=text_at, size=len(text))
    if source.constants:
        table.add(".rodata", kind=1, flags=2, at=constants_at, size=len(source.constants))
    first = len(table.headers)  # .dynamic; .dynsym and .dynstr follow it
    table.add(".dynamic", kind=6, flags=3, at=dynamic_at, size=dynamic_size, link=first + 2, entry_size=16)
    table.add(".dynsym", kind=11, flags=2, at=symbols_at, size=len(symbols), link=first + 2, info=1, entry_size=24)
    table.add(".dynstr", kind=3, flags=2, at=strings_at, size=len(strings))
    table.add(".rel.dyn", kind=9, flags=2, at=calls_at, size=len(relocations), link=first + 1, entry_size=16)
    table.add(".shstrtab", kind=3, flags=0, at=names_at, size=len(table.names) + len(".shstrtab") + 1)

    headers_at = names_at + len(table.names) + -(names_at + len(table.names)) % 8
    count = len(table.headers)
    elf_header = _ELF_HEADER.pack(
        b"\x7fELF", 2, 1, 1, 0, 0, _TYPE_DYNAMIC, _MACHINE_BPF, 1, text_at + source.entry,
        _ELF_HEADER.size, headers_at, 0,
        _ELF_HEADER.size, _PROGRAM_HEADER.size, 3, _SECTION_HEADER.size, count, count - 1,
    )  # fmt: skip

    def segment(kind: int, flags: int, at: int, size: int, alignment: int) -> bytes:
        return _PROGRAM_HEADER.pack(kind, flags, at, at, at, size, size, alignment)

    segments = (
        segment(1, 5, text_at, dynamic_at - text_at, 0x1000)  # code and constants: read, execute
        + segment(1, 6, dynamic_at, names_at - dynamic_at, 0x1000)
        + segment(2, 6, dynamic_at, dynamic_size, 8)
    )
    body = text + source.constants + dynamic + symbols + strings + relocations + table.names
    return _padded(elf_header + segments + body, 8) + table.pack()
