"""Small BPF objects as a compiler would write them, for tests of the linker."""

import struct

from msgspec import Struct, structs

LOAD_ADDRESS, CALL, EXIT, MOVE = 0x18, 0x85, 0x95, 0xB7


def op(opcode: int, destination: int = 0, source: int = 0, immediate: int = 0) -> bytes:
    """One instruction."""
    return struct.pack("<BBhi", opcode, source << 4 | destination, 0, immediate)


class Section(Struct, frozen=True, kw_only=True):
    """A section of the object; its index follows from its place."""

    name: str
    kind: int = 1
    body: bytes = b""
    link: int = 0
    info: int = 0


class BpfObject(Struct, frozen=True, kw_only=True):
    """An object that logs "hello", calls a function of its own, and returns what that returns: 7."""

    text: bytes = (
        op(LOAD_ADDRESS, 1, 0, 2) + op(0)  # r1 = address of "hello", 2 bytes into the constants
        + op(MOVE, 2, 0, 5)
        + op(CALL, 0, 1, -1)  # sol_log_
        + op(CALL, 0, 1, 5)  # the function at instruction 6
        + op(EXIT)
        + op(MOVE, 0, 0, 7) + op(EXIT)
    )  # fmt: skip
    constants: bytes = b"##hello\0"
    # name, info, section, value; 1 = .text, 3 = .rodata
    symbols: tuple[tuple[str, int, int, int], ...] = (
        ("", 0, 0, 0),
        ("", 3, 1, 0),
        ("", 3, 3, 0),
        ("sol_log_", 0x10, 0, 0),
        ("entrypoint", 0x12, 1, 0),
    )
    # offset, kind, symbol
    relocations: tuple[tuple[int, int, int], ...] = ((0, 1, 2), (24, 10, 3), (32, 10, 1))
    more: tuple[Section, ...] = ()
    kind: int = 1
    machine: int = 247

    def changed(self, **fields: object) -> "BpfObject":
        return structs.replace(self, **fields)

    def pack(self) -> bytes:
        """The object's bytes."""
        strings, symbols = b"\0", b""
        for name, info, section_index, value in self.symbols:
            symbols += struct.pack("<IBBHQQ", len(strings) if name else 0, info, 0, section_index, value, 0)
            strings += name.encode() + b"\0" if name else b""
        relocations = b"".join(struct.pack("<QQ", at, symbol << 32 | kind) for at, kind, symbol in self.relocations)
        sections = [
            Section(name="", kind=0),
            Section(name=".text", body=self.text),
            Section(name=".rel.text", kind=9, body=relocations, link=4, info=1),
            Section(name=".rodata.str1.1", body=self.constants),
            Section(name=".symtab", kind=2, body=symbols, link=5, info=3),
            Section(name=".strtab", kind=3, body=strings),
            *self.more,
            Section(name=".shstrtab", kind=3),
        ]
        names = b""
        name_at = []
        for section in sections:
            name_at.append(len(names))
            names += section.name.encode() + b"\0"
        sections[-1] = structs.replace(sections[-1], body=names)
        body, headers, at = b"", b"", 64
        for section, at_name in zip(sections, name_at, strict=True):
            size = len(section.body)
            headers += struct.pack(
                "<IIQQQQIIQQ", at_name, section.kind, 0, 0, at, size, section.link, section.info, 8, 0
            )
            body += section.body
            at += size
        header = struct.pack(
            "<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, self.kind, self.machine, 1, 0, 0, at, 0, 64, 0, 0, 64,
            len(sections), len(sections) - 1,
        )  # fmt: skip
        return header + body + headers
