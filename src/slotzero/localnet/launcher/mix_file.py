"""A mix as a TOML file: every key may be left out, and every problem is told at once."""

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from slotzero.errors import ConfigError, UsageError
from slotzero.localnet.launcher.mix import MAX_RIVALS, FlavourWeights, Mix, TrapWeights

__all__ = ["load_mix", "parse_mix"]

_MAX_FILE_BYTES: Final = 100_000
_MAX_SHOWN_CHARS: Final = 40
_MAX_WEIGHT: Final = 1_000_000

_Table: TypeAlias = Mapping[str, int | Mapping[str, int]]
"""What a key may at most be: a number's greatest value, or a section."""

_KEYS: Final[_Table] = {
    "trap_percent": 100,
    "rivals_per_coin": MAX_RIVALS,
    "front_run_percent": 100,
    "creator_buy_percent": 100,
    "traps": dict.fromkeys(("freeze", "fee"), _MAX_WEIGHT),
    "flavours": dict.fromkeys(("climbing", "falling", "flat"), _MAX_WEIGHT),
}


def load_mix(path: Path) -> Mix:
    """Return the mix of the file at `path`. *Does I/O.*

    Raises:
        ConfigError: The text is not TOML, or does not fit; it holds every problem.
        UsageError: The file is absent, cannot be read, or is no text.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); name a readable TOML file") from error
    if len(content) > _MAX_FILE_BYTES:
        raise UsageError(f"{path} is larger than {_MAX_FILE_BYTES:_} bytes; name a mix of the launcher")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start:_} is not); name a TOML file") from error
    return parse_mix(text, str(path))


def parse_mix(text: str, source: str) -> Mix:
    """Return the mix a TOML text holds; what it leaves out has its default. *Pure.*

    Args:
        text: For example `trap_percent = 20` and a section `[flavours]` with `climbing = 1`.
        source: What errors call the text, for example the file's name.

    Raises:
        ConfigError: The text is not TOML, or does not fit; it holds every problem.
    """
    try:
        document: dict[str, object] = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(source, [f"expected TOML, got a text that breaks off: {error}"]) from error
    problems = list(_problems(document, _KEYS, ""))
    for name, weights in (("traps", TrapWeights), ("flavours", FlavourWeights)):
        section = document.get(name, {})
        is_refused = any(problem.startswith((f"{name}:", f"{name}.")) for problem in problems)
        if not is_refused and not any(msgspec.structs.astuple(msgspec.convert(section, weights))):
            problems.append(f"{name}: expected at least one weight above 0, got none")
    if problems:
        raise ConfigError(source, problems)
    return msgspec.convert(document, Mix)


def _problems(document: Mapping[str, object], table: _Table, prefix: str) -> Iterator[str]:
    for name, value in document.items():
        path = f"{prefix}{name}"
        match table.get(name):
            case None:
                yield f"{_named(path)}: unknown key, known here: {', '.join(table)}"
            case int(most):
                if type(value) is not int or not 0 <= value <= most:
                    yield f"{path}: expected a whole number between 0 and {most:_}, got {_shown(value)}"
            case section:
                if isinstance(value, dict):
                    yield from _problems(value, section, f"{path}.")
                else:
                    yield f"{path}: expected a section, [{path}], got {_shown(value)}"


def _named(path: str) -> str:
    """Return a key of the file as it is where that is harmless on a terminal."""
    return path if path.isprintable() and len(path) <= _MAX_SHOWN_CHARS else repr(path[:_MAX_SHOWN_CHARS])


def _shown(value: object) -> str:
    match value:
        case bool() | float():
            return str(value).lower()
        case int() if value.bit_length() <= 64:  # noqa: PLR2004 - a longer one is not worth reading
            return f"{value:_}"
        case str():
            return repr(value[:_MAX_SHOWN_CHARS])
        case _:
            return f"a {type(value).__name__}"
