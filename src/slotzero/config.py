"""Settings: a TOML file in, one frozen record out, and every problem of the file at once.

The fields below are the one table: a field's type, default, range, unit and description stand beside it and drive
validation, the written file (`render`), its JSON schema and the sentences of errors. msgspec decodes but stops at its
first problem, so a file is checked here against the same table first.
"""

import difflib
import functools
import ipaddress
import itertools
import json
import re
import textwrap
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import inspect

from slotzero.errors import ConfigError, UsageError
from slotzero.secret import redacted_url
from slotzero.units import (
    BPS,
    LAMPORTS_PER_SOL,
    MAX_COMPUTE_UNITS,
    BasisPoints,
    ComputeUnits,
    Lamports,
    MicroLamportsPerCu,
)

__all__ = [
    "ClusterSettings",
    "ExitsSettings",
    "FeesSettings",
    "FiltersSettings",
    "Gate",
    "JournalSettings",
    "LocalnetSettings",
    "OrdersSettings",
    "SafetySettings",
    "Settings",
    "TradeSettings",
    "as_document",
    "json_schema",
    "load",
    "parse",
    "redacted",
    "render",
]

Gate = Literal["all", "facts", "none"]
"""What holds back a send: every safety layer, the layers that read facts, or nothing."""

_MAX_FILE_BYTES = 1_000_000
_MAX_PROBLEMS = 100  # a file of another program would otherwise fill the terminal
_MAX_SHOWN_CHARS = 60


def _about(description: str, *, unit: str | None = None, ge: int | None = None, le: int | None = None) -> msgspec.Meta:
    """Return what the table knows of a field that is no text; a number has both bounds, and they are allowed."""
    return msgspec.Meta(
        description=description,
        ge=ge,
        le=le,
        extra={"unit": unit},
        extra_json_schema={"x-unit": unit} if unit else None,
    )


def _lamports(description: str, *, ge: int, le: int) -> msgspec.Meta:
    return _about(description, unit="lamports", ge=ge, le=le)


def _bps(description: str, *, ge: int = 0, le: int = BPS) -> msgspec.Meta:
    return _about(description, unit="basis points (1/10_000)", ge=ge, le=le)


def _milliseconds(description: str, *, ge: int, le: int) -> msgspec.Meta:
    return _about(description, unit="milliseconds", ge=ge, le=le)


def _compute_units(description: str) -> msgspec.Meta:
    return _about(description, unit="compute units", ge=1, le=MAX_COMPUTE_UNITS)


def _text(description: str, *, form: str, max_length: int = 2_048) -> msgspec.Meta:
    """Return what the table knows of a text; `form` names an entry of `_FORMS`."""
    return msgspec.Meta(description=description, max_length=max_length, extra={"form": form})


def _list_of(description: str, *, max_length: int) -> msgspec.Meta:
    return msgspec.Meta(description=description, max_length=max_length)


_Address = Annotated[str, msgspec.Meta(pattern="^[1-9A-HJ-NP-Za-km-z]{32,44}$", extra={"form": "address"})]
_HttpUrl = Annotated[str, msgspec.Meta(extra={"form": "http"})]
_WsUrl = Annotated[str, msgspec.Meta(extra={"form": "ws"})]
_Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all sections share: frozen, by keyword only, no unknown keys."""


class ClusterSettings(_Section, frozen=True, kw_only=True):
    """Which chain to trade on: set both addresses, or neither to start an embedded chain of our own."""

    rpc_url: Annotated[str, _text("JSON-RPC address of a running `slotzero localnet`.", form="http")] = ""
    ws_url: Annotated[str, _text("WebSocket address of the same chain.", form="ws")] = ""
    other_rpc_urls: Annotated[
        tuple[_HttpUrl, ...],
        _list_of("Further JSON-RPC addresses of the same chain: reads fail over, sends go to all.", max_length=7),
    ] = ()
    other_ws_urls: Annotated[
        tuple[_WsUrl, ...], _list_of("Their WebSocket addresses, taken in turn when one is lost.", max_length=7)
    ] = ()
    call_timeout_ms: Annotated[int, _milliseconds("How long one call may take.", ge=50, le=60_000)] = 2_000
    silent_after_ms: Annotated[
        int, _milliseconds("A feed without a slot for so long is dead; 0 = never.", ge=0, le=60_000)
    ] = 3_000


class LocalnetSettings(_Section, frozen=True, kw_only=True):
    """The embedded chain and what happens on it."""

    slot_ms: Annotated[
        int, _milliseconds("How long a slot lasts; 0 = one slot for each transaction.", ge=0, le=10_000)
    ] = 200
    launches_per_s: Annotated[
        float, _about("How many coins are launched; 0 = none.", unit="coins per second", ge=0, le=1_000)
    ] = 1.0
    seed: Annotated[int, _about("All that the launcher decides follows from it.", ge=0, le=2**63 - 1)] = 1
    trap_percent: Annotated[
        int, _about("Share of the launched coins that are traps.", unit="percent", ge=0, le=100)
    ] = 40
    rivals_per_coin: Annotated[int, _about("Other buyers and sellers of each launched coin.", ge=0, le=50)] = 3


class TradeSettings(_Section, frozen=True, kw_only=True):
    """What a buy and a sell may cost."""

    buy_lamports: Annotated[
        Lamports,
        _lamports(
            "The most one buy may spend, the venue's fees included; 1_000_000_000 lamports are 1 SOL.",
            ge=1_000_000,
            le=100 * LAMPORTS_PER_SOL,
        ),
    ] = Lamports(100_000_000)
    buy_slippage_bps: Annotated[BasisPoints, _bps("How many fewer tokens than quoted a buy accepts.", le=9_999)] = (
        BasisPoints(500)
    )
    exit_slippage_bps: Annotated[BasisPoints, _bps("How much less than quoted a sell accepts; 10_000 = any price.")] = (
        BasisPoints(1_500)
    )
    max_open_positions: Annotated[int, _about("No buy starts while this many are open.", ge=1, le=10_000)] = 3


class FeesSettings(_Section, frozen=True, kw_only=True):
    """What a transaction offers for its place in a block: its priority fee is unit price times unit limit."""

    unit_price_microlamports_per_cu: Annotated[
        MicroLamportsPerCu,
        _about("Compute unit price.", unit="micro-lamports per compute unit", ge=0, le=1_000_000_000),
    ] = MicroLamportsPerCu(100_000)
    buy_unit_limit: Annotated[ComputeUnits, _compute_units("Compute unit limit of a buy.")] = ComputeUnits(160_000)
    sell_unit_limit: Annotated[ComputeUnits, _compute_units("Compute unit limit of a sell.")] = ComputeUnits(120_000)


class SafetySettings(_Section, frozen=True, kw_only=True):
    """What a coin must pass before money is sent."""

    gate: Annotated[
        Gate,
        _about(
            'What holds back a send: "all" = every check, "facts" = what the accounts say but not the simulated '
            'buy and sell, "none" = nothing (a trap then takes the money).'
        ),
    ] = "all"
    budget_ms: Annotated[int, _milliseconds("A coin whose checks take longer is refused.", ge=1, le=60_000)] = 500
    max_round_trip_loss_bps: Annotated[
        BasisPoints, _bps("The most a simulated buy and sell may lose, fees included.")
    ] = BasisPoints(600)


class FiltersSettings(_Section, frozen=True, kw_only=True):
    """Which coins are worth a buy, judged by the facts of the creating transaction alone."""

    min_liquidity_lamports: Annotated[
        Lamports, _lamports("Real quote reserves a pool must hold after creation.", ge=0, le=10**15)
    ] = Lamports(0)
    max_creator_bought_bps: Annotated[
        BasisPoints, _bps("Share of the supply its creator may buy in the creating transaction.")
    ] = BasisPoints(2_000)
    max_creator_fee_bps: Annotated[BasisPoints, _bps("The most the creator may take of each trade.")] = BasisPoints(300)
    allow_mayhem: Annotated[bool, _about("Whether to buy coins created in mayhem mode.")] = False
    allow_cashback: Annotated[bool, _about("Whether to buy coins with cashback.")] = True
    deny_creators: Annotated[
        tuple[_Address, ...], _list_of("Creators whose coins are refused.", max_length=10_000)
    ] = ()
    deny_symbols: Annotated[
        tuple[_Symbol, ...], _list_of("Symbols that are refused: the whole symbol, in any case.", max_length=10_000)
    ] = ()


class ExitsSettings(_Section, frozen=True, kw_only=True):
    """When a position is sold: whichever of the first three comes first."""

    take_profit_bps: Annotated[int, _bps("Sell when the position is worth this much more.", ge=1, le=10_000_000)] = (
        2_500
    )
    stop_loss_bps: Annotated[BasisPoints, _bps("Sell when the position is worth this much less.", ge=1, le=9_999)] = (
        BasisPoints(2_000)
    )
    max_hold_ms: Annotated[int, _milliseconds("Sell when the position is this old.", ge=1, le=86_400_000)] = 8_000
    max_attempts: Annotated[int, _about("How often a sell is built before it is given up.", ge=1, le=100)] = 5


class OrdersSettings(_Section, frozen=True, kw_only=True):
    """How a sent transaction is followed until it has landed or can no longer land."""

    rebroadcast_ms: Annotated[int, _milliseconds("How often the same bytes are sent again.", ge=10, le=60_000)] = 400
    status_poll_ms: Annotated[
        int, _milliseconds("How often the signature's status is asked for.", ge=10, le=60_000)
    ] = 400


class JournalSettings(_Section, frozen=True, kw_only=True):
    """Where intents and positions are kept: in a file, or in a PostgreSQL database that several bots share."""

    path: Annotated[
        str, _text("The journal's file; \"\" = one in the user's state folder.", form="path", max_length=4_096)
    ] = ""
    url: Annotated[
        str, _text('The database instead of a file, such as "postgresql://slotzero@127.0.0.1/bots".', form="postgresql")
    ] = ""
    password_file: Annotated[
        str,
        _text(
            'The database password, on the first line of a file that nobody else may read; "" = PGPASSFILE, ~/.pgpass.',
            form="path",
            max_length=4_096,
        ),
    ] = ""
    bot: Annotated[
        str, _text("This bot's name among those that share the database; each has a wallet of its own.", form="name")
    ] = "main"


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set; each section has all its defaults."""

    cluster: ClusterSettings = ClusterSettings()
    localnet: LocalnetSettings = LocalnetSettings()
    trade: TradeSettings = TradeSettings()
    fees: FeesSettings = FeesSettings()
    safety: SafetySettings = SafetySettings()
    filters: FiltersSettings = FiltersSettings()
    exits: ExitsSettings = ExitsSettings()
    orders: OrdersSettings = OrdersSettings()
    journal: JournalSettings = JournalSettings()


_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ADDRESS_BYTES = 32


def _is_address(text: str) -> bool:
    if not _ADDRESS_BYTES <= len(text) <= 44 or set(text) - set(_BASE58):  # noqa: PLR2004 32 bytes are 32 to 44 digits
        return False
    number = functools.reduce(lambda sum_, digit: sum_ * 58 + _BASE58.index(digit), text, 0)
    zeros = len(text) - len(text.lstrip("1"))
    return zeros + (number.bit_length() + 7) // 8 == _ADDRESS_BYTES


def _is_loopback(text: str, schemes: tuple[str, str]) -> bool:
    """Tell whether `text` is "" or an address on this machine. Credentials and what parsers read apart are refused."""
    if not text:
        return True
    if not text.isascii() or not text.isprintable() or set(text) & set(" @\\"):
        return False
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return False
    return parts.scheme in schemes and port != 0 and (host == "localhost" or _is_loopback_ip(host))


def _is_loopback_ip(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_postgresql(text: str) -> bool:
    """Tell whether `text` is "" or an address of a database; a password in it is refused, wherever it stands."""
    if not text:
        return True
    if not text.isascii() or not text.isprintable() or set(text) & set(" \\"):
        return False
    try:
        parts = urlsplit(text)
        has_password, port = parts.password is not None, parts.port
        names = {name for name, _ in parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))}
    except ValueError:
        return False
    is_place = bool(parts.hostname or "host" in names) and port != 0 and parts.netloc.count("@") <= 1
    return parts.scheme in ("postgresql", "postgres") and is_place and not (has_password or names & _SECRET_PARAMETERS)


_SECRET_PARAMETERS: Final = frozenset({"password", "sslpassword"})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class _Form(NamedTuple):
    expected: str
    fits: Callable[[str], bool]
    is_url: bool = False


_FORMS: Final = {
    "address": _Form("an address of 32 bytes in base58", _is_address),
    "http": _Form(
        'a loopback address such as "http://127.0.0.1:8899", or "" for none',
        lambda text: _is_loopback(text, ("http", "https")),
        is_url=True,
    ),
    "ws": _Form(
        'a loopback address such as "ws://127.0.0.1:8899", or "" for none',
        lambda text: _is_loopback(text, ("ws", "wss")),
        is_url=True,
    ),
    "path": _Form('a file\'s path, or ""', lambda text: "\0" not in text),
    "postgresql": _Form(
        'an address such as "postgresql://user@host:5432/database" without a password, or "" for none',
        _is_postgresql,
        is_url=True,
    ),
    "name": _Form(
        "a name of 1 to 64 letters, digits, dots, hyphens and underscores", lambda t: bool(_NAME.fullmatch(t))
    ),
}


class _Kind(NamedTuple):
    """One type of the table without its wrapping."""

    type: inspect.Type
    form: _Form | None
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
    return _Kind(type_.type, _FORMS[form] if form else None, extra.get("unit"), description)


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
    _Rule(("journal.path", "journal.url", "journal.password_file"), _one_journal),
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
        lines += ["", *_comment((section.type.__doc__ or "").strip()), f"[{section.name}]"]
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
