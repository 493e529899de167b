"""Whatever the settings are, the written file holds them; whatever the file is, it is settings or one error."""

import json
import string
import tomllib
from typing import cast

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey

from slotzero.config import Settings, as_document, json_schema, parse, render
from slotzero.errors import ConfigError

Schema = dict[str, object]
DEFINITIONS = cast("dict[str, dict[str, dict[str, Schema]]]", json_schema()["$defs"])
SECTIONS: dict[str, dict[str, Schema]] = {
    name: DEFINITIONS[cast("str", section["$ref"]).rpartition("/")[2]]["properties"]
    for name, section in DEFINITIONS["Settings"]["properties"].items()
}
PATHS = [(section, key) for section, keys in SECTIONS.items() for key in keys]

unhurried = settings(deadline=None)  # how long an example takes says more about a shared machine than about the code
BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def base58(data: bytes) -> str:
    number, digits = int.from_bytes(data, "big"), ""
    while number:
        number, digit = divmod(number, 58)
        digits = BASE58[digit] + digits
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + digits


def values(schema: Schema) -> st.SearchStrategy[object]:
    """Draw what the schema allows: so the schema is tested against the parser, too."""
    low, high = cast("int", schema.get("minimum")), cast("int", schema.get("maximum"))
    match schema:
        case {"enum": list(choices)}:
            return st.sampled_from(choices)
        case {"type": "boolean"}:
            return st.booleans()
        case {"type": "integer"}:
            return st.integers(low, high)
        case {"type": "number"}:
            return st.floats(low, high) | st.integers(low, high)
        case {"type": "array", "items": {"pattern": _}}:
            return st.lists(st.binary(min_size=32, max_size=32).map(base58), max_size=3)
        case {"type": "array", "items": {"minLength": shortest, "maxLength": longest}}:
            return st.lists(st.text(min_size=shortest, max_size=longest), max_size=3)
        case {"type": "array"}:  # further endpoints; the addresses themselves are drawn below
            return st.just([])
        case {"type": "string"}:
            return st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=50)
    raise AssertionError(schema)


EXITS: dict[str, object] = {
    "ladder_gains_bps": [100, 200],
    "ladder_shares_bps": [5_000, 5_000],
    "decay_from_ms": 0,
    "decay_to_ms": 0,
    "break_even_at_bps": 0,
}
"""Keys that have rules across them."""
FILTERS: dict[str, object] = {
    "hook": "my_package.my_module:my_function",
    "quote_mints": ["SOL"],
    "deny_names": ['(?i)scam|"rug"'],
    "require_names": [],
    "max_liquidity_lamports": 10**15,
    "max_market_cap_lamports": 0,
    "max_creator_bought_bps": 10_000,
}
"""Keys whose texts have a form of their own, and the upper ends of ranges."""


def documents() -> st.SearchStrategy[dict[str, dict[str, object]]]:
    clusters = st.just({"rpc_url": "", "ws_url": ""}) | st.builds(
        lambda port, query: {
            "rpc_url": f"http://127.0.0.1:{port}/?{query}",
            "ws_url": f"ws://[::1]:{port}/{query}",
        },
        st.integers(1, 65_535),
        st.text(string.ascii_letters + string.digits + "=&;#%'\"", max_size=20),
    )
    sections: dict[str, st.SearchStrategy[dict[str, object]]] = {
        section: st.fixed_dictionaries({key: values(schema) for key, schema in keys.items()})
        for section, keys in SECTIONS.items()
    }
    # A price above 714 would make a fee above the smallest buy with the highest limit: a rule of its own.
    sections["fees"] = sections["fees"].map(lambda fees: fees | {"unit_price_microlamports_per_cu": 700_000})
    exits = sections["exits"].map(lambda exits: exits | EXITS)
    journals = st.fixed_dictionaries({"path": values({"type": "string"})}) | st.fixed_dictionaries(
        {
            "url": st.integers(1, 65_535).map(lambda port: f"postgresql://bot@db.invalid:{port}/bots?sslmode=require"),
            "password_file": values({"type": "string"}),
            "bot": st.text(string.ascii_letters + string.digits, min_size=1, max_size=64),
        }
    )
    filters = sections["filters"].map(lambda filters: filters | FILTERS)
    wallets = sections["wallets"].map(lambda wallets: wallets | {"names": ["main", "w-2"]})
    with_rules = {"cluster": clusters, "journal": journals, "exits": exits, "filters": filters, "wallets": wallets}
    return st.fixed_dictionaries(sections | cast("dict[str, st.SearchStrategy[dict[str, object]]]", with_rules))


@unhurried
@given(documents())
def test_rendered_settings_parse_back_to_the_same_settings(document: dict[str, dict[str, object]]) -> None:
    drawn = msgspec.convert(document, Settings)
    text = render(drawn)
    assert parse(text, "rendered") == drawn
    assert render(parse(text, "rendered")) == text
    assert json.loads(json.dumps(as_document(drawn))) == tomllib.loads(text)


@unhurried
@given(st.text(max_size=200) | st.text("[]{}=.\"'#\n \\utrade0189_-+:TZ", max_size=80))
def test_any_text_is_settings_or_one_error(text: str) -> None:
    try:
        parse(text, "any")
    except ConfigError as error:
        sentence = str(error)
    else:
        sentence = ""
    assert sentence.isprintable()


@unhurried
@given(st.text(BASE58, min_size=30, max_size=46) | st.binary(min_size=31, max_size=33).map(base58))
def test_address_is_accepted_exactly_where_solders_accepts_it(text: str) -> None:
    try:
        Pubkey.from_string(text)
    except ValueError:
        is_address = False
    else:
        is_address = True
    try:
        parse(f'[filters]\ndeny_creators = ["{text}"]', "address")
    except ConfigError:
        assert not is_address
    else:
        assert is_address


def wrong_values(schema: Schema) -> st.SearchStrategy[str]:
    """Draw TOML texts of values the schema forbids."""
    wrong = ["{ a = 1 }", "1979-05-27", "-1", "nan", "[[]]", "[1]", '"\\u0000"']
    if schema.get("type") != "boolean":
        wrong += ["true", "false"]
    if schema.get("type") == "integer":
        wrong += ["1.0", '"1"', f"{cast('int', schema['maximum']) + 1}"]
    if schema.get("type") != "array":
        wrong.append("[]")
    elif cast("Schema", schema["items"]).get("type") == "integer":
        wrong[wrong.index("[1]")] = '["1"]'
    return st.sampled_from(wrong)


@unhurried
@given(st.data(), st.sets(st.sampled_from(PATHS), min_size=1, max_size=8))
def test_each_wrong_key_is_one_problem_that_begins_with_its_path(
    data: st.DataObject, chosen: set[tuple[str, str]]
) -> None:
    lines = [
        f"{section}.{key} = {data.draw(wrong_values(SECTIONS[section][key]), label=f'{section}.{key}')}"
        for section, key in sorted(chosen)
    ]
    with pytest.raises(ConfigError) as caught:
        parse("\n".join(lines), "wrong")
    found = [problem.partition(": ")[0].partition("[")[0] for problem in caught.value.problems]
    assert sorted(found) == sorted(f"{section}.{key}" for section, key in chosen)
