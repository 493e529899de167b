"""A TOML file in, one frozen record out, and every problem of the file at once.

msgspec decodes but stops at its first problem, so a file is checked against the table of `sections` first.
"""

import difflib
import functools
import itertools
import json
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
from msgspec import inspect

from slotzero.config.forms import FORMS, Form
from slotzero.config.sections import Settings
from slotzero.errors import ConfigError, UsageError
from slotzero.secret import redacted_url
from slotzero.units import BPS

__all__ = ["as_document", "json_schema", "load", "parse", "redacted", "render"]

_MAX_FILE_BYTES = 1_000_000
_MAX_PROBLEMS = 100  # a file of another program would otherwise fill the terminal
_MAX_SHOWN_CHARS = 60


class _Kind(NamedTuple):
    """One type of the table without its wrapping."""

    type: inspect.Type
    form: Form | None
    unit: str | None
    description: str


class _Key(NamedTuple):
    kind: _Kind
    default: object


def _kind(type_: inspect.Type) -> _Kind:
    if not isinstance(type_, inspect.Metadata):
        return _Kind(type_, None, None, "")
    extra = type_.extra or {}
    form = extra.get("form")
    description = (type_.extra_json_schema or {}).get("description", "")
    return _Kind(type_.type, FORMS[form] if form else None, extra.get("unit"), description)


@functools.cache
def _table() -> dict[str, dict[str, _Key]]:
    table: dict[str, dict[str, _Key]] = {}
    for section in msgspec.structs.fields(Settings):
        info = inspect.type_info(section.type)
        assert isinstance(info, inspect.StructType)
        table[section.name] = {field.name: _Key(_kind(field.type), field.default) for field in info.fields}
    return table


def _expected(kind: _Kind) -> str:
    """Say what a value of `kind` is, for errors and for the written file."""
    if kind.form is not None:
        return kind.form.expected
    match kind.type:
        case inspect.BoolType():
            return "true or false"
        case inspect.IntType(ge=low, le=high) | inspect.FloatType(ge=low, le=high):
            noun = "whole number" if isinstance(kind.type, inspect.IntType) else "number"
            return f"a {noun} between {low:_} and {high:_}"
        case inspect.LiteralType(values=values):
            return "one of " + ", ".join(_quoted(str(value)) for value in values)
        case inspect.StrType(min_length=shortest, max_length=longest):
            return f"a text of {shortest} to {longest} characters"
        case inspect.VarTupleType(item_type=item, max_length=longest):
            return f"a list of at most {longest:_} items, each {_expected(_kind(item))}"
        case other:
            raise AssertionError(f"the table of settings has no rule for {other}")


def _is_fitting(kind: _Kind, value: object) -> bool:
    """Tell whether `value` is what `_expected` says; the items of a list are looked at one by one elsewhere."""
    match kind.type:
        case inspect.BoolType():
            return isinstance(value, bool)
        case inspect.IntType(ge=low, le=high):
            return type(value) is int and (low or 0) <= value <= (high or 0)
        case inspect.FloatType(ge=low, le=high):
            return isinstance(value, int | float) and not isinstance(value, bool) and (low or 0) <= value <= (high or 0)
        case inspect.LiteralType(values=values):
            return isinstance(value, str) and value in values
        case inspect.StrType(min_length=shortest, max_length=longest):
            return (
                isinstance(value, str)
                and (shortest or 0) <= len(value) <= (longest or _MAX_FILE_BYTES)
                and (kind.form is None or kind.form.fits(value))
            )
        case inspect.VarTupleType(max_length=longest):
            return isinstance(value, list) and len(value) <= (longest or 0)
        case other:
            raise AssertionError(f"the table of settings has no rule for {other}")


def _quoted(text: str) -> str:
    """Return `text` as a TOML string on one line, with nothing in it that a terminal acts on. *Pure.*"""
    escaped = json.dumps(text, ensure_ascii=False)
    return "".join(
        c if c.isprintable() else f"\\u{ord(c):04x}" if ord(c) < 1 << 16 else f"\\U{ord(c):08x}" for c in escaped
    )


def _shown(value: object, kind: _Kind | None = None) -> str:
    """Return a refused value for an error: short, on one line, addresses without what is secret in them."""
    match value:
        case bool() | float():
            return str(value).lower()
        case int():
            return f"{value:_}" if value.bit_length() <= 128 else f"a number of {value.bit_length():_} bits"  # noqa: PLR2004 39 digits
        case str():
            is_url = "://" in value or (kind is not None and kind.form is not None and kind.form.is_url)
            text = redacted_url(value) if is_url and value else value
            return _quoted(text if len(text) <= _MAX_SHOWN_CHARS else text[: _MAX_SHOWN_CHARS - 1] + "…")
        case list():
            return f"a list of {len(value):_}"
        case dict():
            return "a section"
        case _:
            return f"a date or a time ({value})"


def _named(name: str) -> str:
    """Return a key as TOML writes it, shortened."""
    text = name if len(name) <= _MAX_SHOWN_CHARS else name[: _MAX_SHOWN_CHARS - 1] + "…"
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _quoted(text)


def _hint(name: str, names: list[str], elsewhere: Mapping[str, str]) -> str:
    """Return what may have been meant by `name`: one of `names`, else a full path of `elsewhere` by its last part."""
    wanted = name.lower()[:_MAX_SHOWN_CHARS]
    if near := difflib.get_close_matches(wanted, names, n=1):
        return f'did you mean "{near[0]}"?'
    if near := difflib.get_close_matches(wanted, list(elsewhere), n=1, cutoff=0.8):
        return f'did you mean "{elsewhere[near[0]]}"?'
    return "known here: " + ", ".join(names)


def _problems(document: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the path of each section or key that is refused, and a sentence that begins with it."""
    table = _table()
    paths = {key: f"{section}.{key}" for section, keys in table.items() for key in keys}
    for section, content in document.items():
        if section not in table:
            yield section, f"{_named(section)}: unknown section, {_hint(section, list(table), paths)}"
        elif not isinstance(content, dict):
            yield section, f"{section}: expected a section, [{section}], got {_shown(content)}"
        else:
            for key, value in content.items():
                path = f"{section}.{key}"
                if key in table[section]:
                    for problem in _value_problems(path, table[section][key].kind, value):
                        yield path, problem
                else:
                    yield path, f"{section}.{_named(key)}: unknown key, {_hint(key, list(table[section]), paths)}"


def _value_problems(path: str, kind: _Kind, value: object) -> Iterator[str]:
    if not _is_fitting(kind, value):
        yield f"{path}: expected {_expected(kind)}, got {_shown(value, kind)}"
    elif isinstance(kind.type, inspect.VarTupleType) and isinstance(value, list):
        item_kind = _kind(kind.type.item_type)
        for index, item in enumerate(value):
            yield from _value_problems(f"{path}[{index}]", item_kind, item)


def _both_addresses(settings: Settings) -> str | None:
    cluster = settings.cluster
    if bool(cluster.rpc_url) == bool(cluster.ws_url):
        return None
    absent, present = ("ws_url", "rpc_url") if cluster.rpc_url else ("rpc_url", "ws_url")
    return (
        f'cluster.{absent}: expected an address because cluster.{present} is set, got ""; '
        "set both, or neither to start an embedded chain"
    )


def _priority_fee(settings: Settings) -> str | None:
    """Refuse a priority fee above what a buy spends: a price in the wrong unit is a million times too high."""
    fees, most = settings.fees, settings.trade.buy_lamports
    unit_limit = max(fees.buy_unit_limit, fees.sell_unit_limit)
    fee_lamports = -(-fees.unit_price_microlamports_per_cu * unit_limit // 1_000_000)
    if fee_lamports <= most:
        return None
    return (
        "fees.unit_price_microlamports_per_cu: expected a price at which a transaction's priority fee is at most "
        f"trade.buy_lamports ({most:_}), got {fees.unit_price_microlamports_per_cu:_}, "
        f"a fee of {fee_lamports:_} lamports with a limit of {unit_limit:_} units"
    )


def _one_journal(settings: Settings) -> str | None:
    journal = settings.journal
    if journal.path and journal.url:
        return (
            f'journal.path: expected "" because journal.url is set, got {_shown(journal.path)}; '
            "a journal is a file or a database"
        )
    if journal.password_file and not journal.url:
        return f'journal.password_file: expected "" because journal.url is "", got {_shown(journal.password_file)}'
    return None


def _ladder(settings: Settings) -> str | None:
    gains, shares = settings.exits.ladder_gains_bps, settings.exits.ladder_shares_bps
    if len(gains) != len(shares):
        return f"exits.ladder_shares_bps: expected one share for each of {len(gains)} gains, got {len(shares)}"
    if list(gains) != sorted(set(gains)):
        return f"exits.ladder_gains_bps: expected gains that ascend, got {list(gains)}"
    if sum(shares) > BPS:
        return f"exits.ladder_shares_bps: expected at most {BPS:_} together, got {sum(shares):_}"
    return None


def _decay(settings: Settings) -> str | None:
    exits = settings.exits
    if exits.decay_to_ms and not (
        exits.decay_from_ms < exits.decay_to_ms and exits.decay_stop_bps < exits.stop_loss_bps
    ):
        return (
            "exits.decay_to_ms: expected an age above decay_from_ms and a decay_stop_bps below stop_loss_bps, got "
            f"{exits.decay_from_ms:_} to {exits.decay_to_ms:_} ms and {exits.decay_stop_bps} bps"
        )
    return None


def _break_even(settings: Settings) -> str | None:
    exits = settings.exits
    if exits.break_even_offset_bps >= exits.break_even_at_bps > 0:
        return (
            f"exits.break_even_offset_bps: expected less than break_even_at_bps ({exits.break_even_at_bps}), "
            f"got {exits.break_even_offset_bps}"
        )
    return None


_FILTER_RANGES: Final = (
    ("min_liquidity_lamports", "max_liquidity_lamports"),
    ("min_market_cap_lamports", "max_market_cap_lamports"),
    ("min_creator_bought_bps", "max_creator_bought_bps"),
)


def _filter_range(least: str, most: str) -> Callable[[Settings], str | None]:
    """Return what refuses a range that no pool is in; a bound of 0 is none, but for what a creator may buy."""

    def problem(settings: Settings) -> str | None:
        low, high = getattr(settings.filters, least), getattr(settings.filters, most)
        is_open = not high and most.endswith("lamports")
        if is_open or low <= high:
            return None
        return f"filters.{most}: expected at least {least} ({low:_}), got {high:_}"

    return problem


class _Rule(NamedTuple):
    """A check of several keys; it is skipped where one of them is refused already."""

    paths: tuple[str, ...]
    problem: Callable[[Settings], str | None]


_RULES: Final = (
    _Rule(("cluster.rpc_url", "cluster.ws_url"), _both_addresses),
    _Rule(
        (
            "fees.unit_price_microlamports_per_cu",
            "fees.buy_unit_limit",
            "fees.sell_unit_limit",
            "trade.buy_lamports",
        ),
        _priority_fee,
    ),
    _Rule(("exits.ladder_gains_bps", "exits.ladder_shares_bps"), _ladder),
    _Rule(("exits.decay_from_ms", "exits.decay_to_ms", "exits.decay_stop_bps", "exits.stop_loss_bps"), _decay),
    _Rule(("exits.break_even_at_bps", "exits.break_even_offset_bps"), _break_even),
    _Rule(("journal.path", "journal.url", "journal.password_file"), _one_journal),
    *(_Rule((f"filters.{least}", f"filters.{most}"), _filter_range(least, most)) for least, most in _FILTER_RANGES),
)


def _settings(document: Mapping[str, object], source: str) -> Settings:
    found = list(itertools.islice(_problems(document), _MAX_PROBLEMS + 1))
    problems = [sentence for _, sentence in found]
    if len(problems) > _MAX_PROBLEMS:
        raise ConfigError(source, [*problems[:_MAX_PROBLEMS], "and more after these"])
    refused = {path for path, _ in found}
    accepted = {
        section: {key: value for key, value in content.items() if f"{section}.{key}" not in refused}
        for section, content in document.items()
        if section not in refused and isinstance(content, dict)
    }
    settings = msgspec.convert(accepted, Settings)
    for rule in _RULES:
        is_judged = any(path in refused or path.partition(".")[0] in refused for path in rule.paths)
        if not is_judged and (problem := rule.problem(settings)):
            problems.append(problem)
    if problems:
        raise ConfigError(source, problems)
    return settings


def _syntax_problem(text: str, error: ValueError) -> str:
    """Return where a TOML text breaks, and how; tomllib tells the place within its message only."""
    message, _, place = str(error).rpartition(" (at ")
    if at := re.fullmatch(r"line (\d+), column (\d+)\)", place):
        line, column = int(at[1]), int(at[2])
    elif place == "end of document)":
        line, column = text.count("\n") + 1, len(text) - text.rfind("\n")
    else:
        return f"expected TOML, got a text whose values cannot be read: {error}"
    return f"line {line}, column {column}: expected TOML, but {message[:1].lower()}{message[1:]}"


def parse(text: str, source: str) -> Settings:
    """Return the settings a TOML text holds; what it leaves out has its default. *Pure.*

    Args:
        text: TOML, version 1.0.
        source: What errors call the text, for example the file's name.

    Raises:
        ConfigError: The text is not TOML, or does not fit; it holds every problem.
    """
    try:
        document: dict[str, object] = tomllib.loads(text)
    except ValueError as error:  # TOMLDecodeError is one; a whole number of more than 4300 digits raises another
        raise ConfigError(source, [_syntax_problem(text, error)]) from error
    except RecursionError as error:
        raise ConfigError(source, ["expected a section or a key, got lists or tables nested too deeply"]) from error
    return _settings(document, source)


def load(path: Path | None) -> Settings:
    """Return the settings of the file at `path`; None = the defaults. *Does I/O.*

    Raises:
        ConfigError: The file's text is not TOML, or does not fit; it holds every problem.
        UsageError: The file is absent, cannot be read, or is no text.
    """
    if path is None:
        return Settings()
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise UsageError(f"{path} does not exist; `slotzero config init {path}` writes one") from error
    except OSError as error:
        raise UsageError(f"{path} cannot be read ({error.strerror}); name a readable TOML file") from error
    if len(content) > _MAX_FILE_BYTES:
        raise UsageError(f"{path} is larger than {_MAX_FILE_BYTES:_} bytes; name a configuration file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not UTF-8 text (byte {error.start:_} is not); name a TOML file") from error
    return parse(text, str(path))


def as_document(settings: Settings) -> dict[str, object]:
    """Return the settings as sections of plain values, ready for a JSON encoder. *Pure.*"""
    document: dict[str, object] = msgspec.to_builtins(settings)
    return document


def redacted(settings: Settings) -> Settings:
    """Return the settings for showing: addresses without credentials and query strings. *Pure.*

    Not for use: a redacted address may lead nowhere.
    """
    return msgspec.structs.replace(
        settings,
        cluster=msgspec.structs.replace(
            settings.cluster,
            rpc_url=settings.cluster.rpc_url and redacted_url(settings.cluster.rpc_url),
            ws_url=settings.cluster.ws_url and redacted_url(settings.cluster.ws_url),
            geyser_url=settings.cluster.geyser_url and redacted_url(settings.cluster.geyser_url),
            jito_url=settings.cluster.jito_url and redacted_url(settings.cluster.jito_url),
            other_rpc_urls=tuple(redacted_url(url) for url in settings.cluster.other_rpc_urls),
            other_ws_urls=tuple(redacted_url(url) for url in settings.cluster.other_ws_urls),
        ),
        journal=msgspec.structs.replace(
            settings.journal, url=settings.journal.url and redacted_url(settings.journal.url)
        ),
    )


def json_schema() -> dict[str, object]:
    """Return the JSON schema (draft 2020-12) of a settings document. Rules across keys are not in it. *Pure.*"""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(Settings),
    }


def render(settings: Settings) -> str:
    """Return `settings` as commented TOML that `parse` reads back to the same settings. *Pure.*"""
    lines = ["# Settings of slotzero. A key that is left out has its default."]
    for section in msgspec.structs.fields(Settings):
        lines += ["", *_comment(" ".join((section.type.__doc__ or "").split())), f"[{section.name}]"]
        values = getattr(settings, section.name)
        for name, key in _table()[section.name].items():
            expected = _expected(key.kind)
            unit = f", in {key.kind.unit}" if key.kind.unit else ""
            lines += _comment(key.kind.description)
            lines += _comment(f"{expected[0].upper()}{expected[1:]}{unit}; default {_toml(key.default)}.")
            lines.append(f"{name} = {_toml(getattr(values, name))}")
    return "\n".join(lines) + "\n"


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, width=100, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return f"{value:_}"
        case float():
            return repr(value)
        case str():
            return _quoted(value)
        case tuple():
            return "[" + "".join(f"\n  {_toml(item)}," for item in value) + "\n]" if value else "[]"
        case other:
            raise AssertionError(f"settings hold no {type(other).__name__}")
