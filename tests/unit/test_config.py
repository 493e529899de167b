import json
from pathlib import Path

import msgspec
import pytest

from slotzero import config
from slotzero.config import Settings, is_loopback, parse, render
from slotzero.errors import ConfigError, UsageError

ADDRESS = "6EF8rrecthR5Dkzon8Nwu78hRvfCKubJ14M5uBEwF6P"
SECTIONS = (
    "cluster, localnet, trade, limits, wallets, fees, safety, filters, exits, rug, privacy, orders, paper, journal"
)


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, "my.toml")
    assert "\n" not in str(caught.value)
    return list(caught.value.problems)


def problem(text: str) -> str:
    (only,) = problems(text)
    return only


LOCALNET_KEYS = "slot_ms, launches_per_s, seed, trap_percent, rivals_per_coin"


def test_defaults_are_the_documented_ones() -> None:
    document = config.as_document(Settings())
    assert {name: document[name] for name in ("cluster", "localnet", "trade", "orders", "journal")} == {
        "cluster": {
            "rpc_url": "",
            "ws_url": "",
            "other_rpc_urls": (),
            "other_ws_urls": (),
            "geyser_url": "",
            "geyser_token_file": "",
            "jito_url": "",
            "call_timeout_ms": 2000,
            "silent_after_ms": 3000,
        },
        "localnet": {"slot_ms": 200, "launches_per_s": 1.0, "seed": 1, "trap_percent": 40, "rivals_per_coin": 3},
        "trade": {
            "buy_lamports": 100_000_000,
            "buy_slippage_bps": 500,
            "exit_slippage_bps": 1500,
            "max_open_positions": 3,
        },
        "orders": {"rebroadcast_ms": 400, "status_poll_ms": 400},
        "journal": {"path": "", "url": "", "password_file": "", "bot": "main"},
    }


def test_safe_defaults_are_the_documented_ones() -> None:
    settings = Settings()
    assert (settings.safety.gate, settings.safety.budget_ms) == ("all", 150)
    assert settings.safety.layers == ("mint_facts", "liquidity", "round_trip")
    assert settings.safety.advisory_layers == ()
    assert (settings.exits.take_profit_bps, settings.exits.stop_loss_bps, settings.exits.max_hold_ms) == (
        2500,
        2000,
        8000,
    )
    assert settings.privacy.entry_jitter_ms == settings.privacy.exit_jitter_ms == 0
    assert settings.filters.hook == ""


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("[exits]\nladder_gains_bps = [100]", "exits.ladder_shares_bps"),
        ("[exits]\nladder_gains_bps = [200, 100]\nladder_shares_bps = [1, 1]", "exits.ladder_gains_bps"),
        ("[exits]\nladder_gains_bps = [100, 200]\nladder_shares_bps = [9000, 2000]", "exits.ladder_shares_bps"),
        ("[exits]\ndecay_to_ms = 5\ndecay_from_ms = 5", "exits.decay_to_ms"),
        ("[exits]\nbreak_even_at_bps = 5\nbreak_even_offset_bps = 5", "exits.break_even_offset_bps"),
        ("[filters]\nmin_liquidity_lamports = 2\nmax_liquidity_lamports = 1", "filters.max_liquidity_lamports"),
        ("[filters]\nmin_market_cap_lamports = 2\nmax_market_cap_lamports = 1", "filters.max_market_cap_lamports"),
        ("[filters]\nmin_creator_bought_bps = 2001", "filters.max_creator_bought_bps"),
        ("[filters]\nmin_creator_bought_bps = 1\nmax_creator_bought_bps = 0", "filters.max_creator_bought_bps"),
        ('[filters]\ndeny_names = ["("]', "filters.deny_names[0]"),
        ('[filters]\nhook = "no function"', "filters.hook"),
        ('[filters]\nquote_mints = ["EUR"]', "filters.quote_mints[0]"),
    ],
)
def test_rules_that_contradict_themselves_are_refused_with_their_path(text: str, path: str) -> None:
    assert problem(text).startswith(f"{path}: expected ")


@pytest.mark.parametrize(
    "text",
    [
        "[filters]\nmin_liquidity_lamports = 2",
        "[filters]\nmin_liquidity_lamports = 2\nmax_liquidity_lamports = 2",
        "[filters]\nmin_market_cap_lamports = 2\nmax_market_cap_lamports = 0",
        "[filters]\nmin_creator_bought_bps = 2000",
    ],
)
def test_range_that_some_pool_may_be_in_is_accepted(text: str) -> None:
    parse(text, "my.toml")


def test_empty_text_gives_the_defaults() -> None:
    assert parse("", "my.toml") == Settings()


def test_defaults_are_within_their_own_ranges() -> None:
    assert parse(render(Settings()), "my.toml") == Settings()


def test_written_keys_are_taken_and_others_keep_their_default() -> None:
    settings = parse(
        f'[trade]\nbuy_lamports = 5_000_000\n[filters]\ndeny_creators = ["{ADDRESS}"]\ndeny_symbols = ["SCAM"]\n',
        "my.toml",
    )
    assert settings.trade.buy_lamports == 5_000_000
    assert settings.trade.buy_slippage_bps == 500
    assert settings.filters.deny_creators == (ADDRESS,)
    assert settings.filters.deny_symbols == ("SCAM",)


def test_settings_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Settings().trade.buy_lamports = 1  # type: ignore[misc,assignment] # the refusal is what is tested


def test_whole_number_for_a_float_is_taken_as_a_float() -> None:
    rate = parse("[localnet]\nlaunches_per_s = 3", "my.toml").localnet.launches_per_s
    assert type(rate) is float
    assert rate == 3.0


def test_all_problems_are_reported_at_once_in_the_order_of_the_file() -> None:
    found = problems(
        """
        [trade]
        buy_lamports = "abc"
        buy_lamport = 3
        [trde]
        [localnet]
        slot_ms = -1
        [safety]
        gate = "al"
        [cluster]
        rpc_url = "http://127.0.0.1:1"
        """
    )
    assert [text.partition(":")[0] for text in found] == [
        "trade.buy_lamports",
        "trade.buy_lamport",
        "trde",
        "localnet.slot_ms",
        "safety.gate",
        "cluster.ws_url",
    ]


def test_error_names_the_source_and_counts() -> None:
    with pytest.raises(ConfigError, match=r"^my\.toml has 2 problems: a: .*; b: "):
        parse("a = 1\nb = 2", "my.toml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[trade]\nbuy_lamports = "abc"',
            'trade.buy_lamports: expected a whole number between 1_000_000 and 100_000_000_000, got "abc"',
        ),
        (
            "[trade]\nbuy_lamports = 999_999",
            "trade.buy_lamports: expected a whole number between 1_000_000 and 100_000_000_000, got 999_999",
        ),
        (
            "[trade]\nmax_open_positions = true",
            "trade.max_open_positions: expected a whole number between 1 and 10_000, got true",
        ),
        (
            "[trade]\nmax_open_positions = 3.0",
            "trade.max_open_positions: expected a whole number between 1 and 10_000, got 3.0",
        ),
        (
            "[trade]\nmax_open_positions = 2024-01-01",
            "trade.max_open_positions: expected a whole number between 1 and 10_000, got a date or a time (2024-01-01)",
        ),
        (
            f"[trade]\nmax_open_positions = {hex(10**6000)}",
            "trade.max_open_positions: expected a whole number between 1 and 10_000, got a number of 19_932 bits",
        ),
        (
            "[fees]\nbuy_unit_limit = 1_400_001",
            "fees.buy_unit_limit: expected a whole number between 1 and 1_400_000, got 1_400_001",
        ),
        (
            "[exits]\nstop_loss_bps = 10_000",
            "exits.stop_loss_bps: expected a whole number between 1 and 9_999, got 10_000",
        ),
        (
            "[localnet]\nlaunches_per_s = nan",
            "localnet.launches_per_s: expected a number between 0 and 1_000, got nan",
        ),
        (
            "[localnet]\nlaunches_per_s = inf",
            "localnet.launches_per_s: expected a number between 0 and 1_000, got inf",
        ),
        (
            "[localnet]\nlaunches_per_s = true",
            "localnet.launches_per_s: expected a number between 0 and 1_000, got true",
        ),
        (
            f"[localnet]\nlaunches_per_s = {hex(10**400)}",
            "localnet.launches_per_s: expected a number between 0 and 1_000, got a number of 1_329 bits",
        ),
        ("[filters]\nallow_mayhem = 1", "filters.allow_mayhem: expected true or false, got 1"),
        ('[safety]\ngate = "ALL"', 'safety.gate: expected one of "all", "facts", "none", got "ALL"'),
        ("[safety]\ngate = 1", 'safety.gate: expected one of "all", "facts", "none", got 1'),
        ("[safety]\ngate = []", 'safety.gate: expected one of "all", "facts", "none", got a list of 0'),
        ("trade = 4", "trade: expected a section, [trade], got 4"),
        ("[[trade]]", "trade: expected a section, [trade], got a list of 1"),
        ("[exits.max_attempts]", "exits.max_attempts: expected a whole number between 1 and 100, got a section"),
        ('[journal]\npath = "a\\u0000b"', 'journal.path: expected a file\'s path, or "", got "a\\u0000b"'),
    ],
)  # fmt: skip
def test_wrong_value_is_refused_with_what_was_expected_and_what_it_was(text: str, expected: str) -> None:
    assert problem(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[trde]", 'trde: unknown section, did you mean "trade"?'),
        ("[Trade]", 'Trade: unknown section, did you mean "trade"?'),
        ("buy_lamports = 5", 'buy_lamports: unknown section, did you mean "trade.buy_lamports"?'),
        ("[trade]\nbuy_lamport = 5", 'trade.buy_lamport: unknown key, did you mean "buy_lamports"?'),
        ("[trade]\nBuy-Lamports = 5", 'trade.Buy-Lamports: unknown key, did you mean "buy_lamports"?'),
        ("[trade]\nstop_loss_bps = 5", 'trade.stop_loss_bps: unknown key, did you mean "exits.stop_loss_bps"?'),
        ("[localnet]\nzzz = 5", "localnet.zzz: unknown key, known here: " + LOCALNET_KEYS),
        ('"\\u001b[31m\\n" = 5', '"\\u001b[31m\\n": unknown section, known here: ' + SECTIONS),
    ],
)  # fmt: skip
def test_unknown_name_is_refused_with_the_nearest_known_one(text: str, expected: str) -> None:
    assert problem(text) == expected


def test_long_unknown_name_and_long_value_are_shortened() -> None:
    assert all(len(text) < 250 for text in problems(f'{"a" * 9000} = 1\n[safety]\ngate = "{"b" * 9000}"'))


def test_a_flood_of_problems_is_cut() -> None:
    found = problems("\n".join(f"k{n} = {n}" for n in range(5_000)))
    assert len(found) == 101
    assert found[-1] == "and more after these"


@pytest.mark.parametrize("address", [ADDRESS, "1" * 32, "So11111111111111111111111111111111111111112"])
def test_address_of_32_bytes_is_accepted(address: str) -> None:
    text = f'[filters]\ndeny_creators = ["{address}"]'
    assert parse(text, "my.toml").filters.deny_creators == (address,)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "1" * 31,
        "1" * 33,
        ADDRESS[:-1] + "0",
        ADDRESS[:-1] + "l",
        "z" * 44,  # 44 digits, yet more than 32 bytes hold
        ADDRESS + "\\n",
        "2" * 32,  # 24 bytes
    ],
)
def test_text_that_is_no_address_is_refused_with_its_index(address: str) -> None:
    found = problem(f'[filters]\ndeny_creators = ["{ADDRESS}", "{address}"]')
    assert found == f'filters.deny_creators[1]: expected an address of 32 bytes in base58, got "{address}"'


def test_each_wrong_item_of_a_list_is_a_problem() -> None:
    assert problems('[filters]\ndeny_symbols = ["ok", "", 3]') == [
        'filters.deny_symbols[1]: expected a text of 1 to 64 characters, got ""',
        "filters.deny_symbols[2]: expected a text of 1 to 64 characters, got 3",
    ]


def test_list_that_is_too_long_is_refused() -> None:
    items = ", ".join(['"A"'] * 10_001)
    assert problem(f"[filters]\ndeny_symbols = [{items}]").endswith("got a list of 10_001")


@pytest.mark.parametrize(
    ("rpc_url", "ws_url"),
    [
        ("http://127.0.0.1:8899", "ws://127.0.0.1:8899"),
        ("http://localhost:8899/", "ws://localhost:8899/"),
        ("http://[::1]:8899", "wss://127.9.9.9:8899/socket"),
    ],
)
def test_loopback_addresses_are_accepted(rpc_url: str, ws_url: str) -> None:
    cluster = parse(f'[cluster]\nrpc_url = "{rpc_url}"\nws_url = "{ws_url}"', "my.toml").cluster
    assert (cluster.rpc_url, cluster.ws_url) == (rpc_url, ws_url)


@pytest.mark.parametrize(
    "rpc_url",
    [
        "ws://127.0.0.1:8899",
        "127.0.0.1:8899",
        "localhost",
        "http://",
        "http://127.0.0.1:99999",
        "http://127.0.0.1:0",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://0.0.0.0:8899",
        "http://api.mainnet-beta.solana.com",
        "http://example.com\\\\@127.0.0.1",
        "http://me@127.0.0.1",
        "http://127.0.0.1 ",
        "http://127.0.\\n0.1",
        "http://127.0.0.1[",
    ],
)
def test_address_that_is_neither_on_this_machine_nor_reached_over_tls_is_refused(rpc_url: str) -> None:
    found = problem(f'[cluster]\nrpc_url = "{rpc_url}"\nws_url = "ws://127.0.0.1:8899"')
    assert found.startswith('cluster.rpc_url: expected an address such as "http://127.0.0.1:8899" on this machine')


def test_address_elsewhere_is_taken_over_tls_and_is_no_loopback() -> None:
    cluster = parse(
        '[cluster]\nrpc_url = "https://rpc.invalid/?key=1"\nws_url = "wss://rpc.invalid/"', "my.toml"
    ).cluster
    assert not is_loopback(cluster.rpc_url)
    assert not is_loopback(cluster.ws_url)
    assert is_loopback("http://[::1]:8899")


@pytest.mark.parametrize(
    "text",
    [
        '[cluster]\nrpc_url = "https://me:hunter2@host.example/v2?api-key=hunter2"',
        '[cluster]\nws_url = "me:hunter2@host.example"',
        '[cluster]\nws_url = "wss://host.example/hunter2hunter2hunter2"',
        '[trade]\nbuy_lamports = "https://host.example/?api-key=hunter2"',
        '[trade]\nbuy_lamport = "https://host.example/?api-key=hunter2"',
    ],
)
def test_refused_address_is_shown_without_what_is_secret_in_it(text: str) -> None:
    assert "hunter2" not in " ".join(problems(text))


@pytest.mark.parametrize(("present", "absent"), [("rpc_url", "ws_url"), ("ws_url", "rpc_url")])
def test_one_address_without_the_other_is_refused(present: str, absent: str) -> None:
    scheme = "http" if present == "rpc_url" else "ws"
    found = problem(f'[cluster]\n{present} = "{scheme}://127.0.0.1:8899"')
    assert found.startswith(f"cluster.{absent}: expected an address because cluster.{present} is set")


def test_rule_across_keys_is_skipped_where_a_key_is_refused_already() -> None:
    assert problem('[cluster]\nrpc_url = "http://127.0.0.1:8899"\nws_url = 3').startswith(
        "cluster.ws_url: expected an address such as"
    )
    assert problem("cluster = 3\n") == "cluster: expected a section, [cluster], got 3"


def test_priority_fee_above_the_buy_is_refused() -> None:
    assert problem("[fees]\nunit_price_microlamports_per_cu = 700_000_000") == (
        "fees.unit_price_microlamports_per_cu: expected a price at which a transaction's priority fee is at most "
        "trade.buy_lamports (100_000_000), got 700_000_000, a fee of 112_000_000 lamports with a limit of 160_000 units"
    )


def test_priority_fee_equal_to_the_buy_is_accepted() -> None:
    settings = parse("[fees]\nunit_price_microlamports_per_cu = 625_000_000", "my.toml")
    assert settings.fees.unit_price_microlamports_per_cu == 625_000_000


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("x = ", "line 1, column 5"),
        ("[trade]\n\nbuy_lamports == 3", "line 3, column 15"),
        ('[trade]\r\nx = "abc', "line 2, column 9"),
        ("[trade]\n[trade]", "line 2, column 7"),
        ('x = "\x1b"', "line 1, column 6"),
    ],
)
def test_broken_toml_is_one_sentence_with_line_and_column(text: str, place: str) -> None:
    assert problem(text).startswith(f"{place}: expected TOML, but ")


@pytest.mark.parametrize("text", ["x = " + "[" * 100_000, "x = " + "9" * 5_000])
def test_hostile_toml_is_one_sentence(text: str) -> None:
    assert problem(text).startswith("expected ")


def test_load_of_nothing_gives_the_defaults() -> None:
    assert config.load(None) == Settings()


def test_load_reads_a_file_whatever_its_line_ends_and_mark(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_bytes(b"\xef\xbb\xbf[exits]\r\nmax_attempts = 7\r\n")
    assert config.load(file).exits.max_attempts == 7


def test_load_names_the_file_in_problems(tmp_path: Path) -> None:
    file = tmp_path / "my.toml"
    file.write_text("x = 1")
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert caught.value.source == str(file)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, r"does not exist; `slotzero config init .*` writes one$"),
        (b"x = '\xff'", r"is not UTF-8 text \(byte 5 is not\)"),
        (b" " * 1_000_001, r"is larger than 1_000_000 bytes"),
    ],
)
def test_unusable_file_is_one_sentence(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    file = tmp_path / "my.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=sentence):
        config.load(file)


def test_folder_in_place_of_a_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be read \(Is a directory\)"):
        config.load(tmp_path)


def test_each_key_of_the_written_file_has_its_comment_with_range_unit_and_default() -> None:
    lines = render(Settings()).splitlines()
    at = lines.index("slot_ms = 200")
    assert lines[at - 2] == "# How long a slot lasts; 0 = one slot for each transaction."
    assert lines[at - 1] == "# A whole number between 0 and 10_000, in milliseconds; default 200."
    keys = [line for line in lines if " = " in line and not line.startswith("#")]
    assert len(keys) == sum(len(section) for section in sections())
    for index, line in enumerate(lines):
        if line in keys:
            assert lines[index - 1].startswith("# ")


def sections() -> list[dict[str, object]]:
    document = json.loads(msgspec.json.encode(Settings()))
    return list(document.values())


def test_written_lines_fit_a_terminal() -> None:
    assert max(map(len, render(Settings()).splitlines())) <= 100


def test_schema_knows_each_key_with_description_range_unit_and_default() -> None:
    definitions = json.loads(json.dumps(config.json_schema()))["$defs"]
    assert definitions["TradeSettings"]["properties"]["buy_lamports"] == {
        "description": "The most one buy may spend, the venue's fees included; 1_000_000_000 lamports are 1 SOL.",
        "type": "integer",
        "minimum": 1_000_000,
        "maximum": 100_000_000_000,
        "default": 100_000_000,
        "x-unit": "lamports",
    }
    for definition in definitions.values():
        assert definition["additionalProperties"] is False
        if definition["title"] != "Settings":
            assert all("description" in key for key in definition["properties"].values())


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bot@db.invalid/bots",
        "postgres://db.invalid:5433/bots?sslmode=verify-full",
        "postgresql://[::1]/",
        "postgresql:///bots?host=/run/postgresql&user=bot",
        "postgresql://bot@/bots?host=%2Frun%2Fpostgresql",
    ],
)
def test_database_address_is_taken(url: str) -> None:
    assert parse(f'[journal]\nurl = "{url}"', "my.toml").journal.url == url


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bot:hunter2@db.invalid/bots",
        "postgresql://bot:@db.invalid/bots",
        "postgresql://db.invalid/bots?password=hunter2",
        "postgresql://db.invalid/bots?sslpassword=hunter2",
        "postgresql://db.invalid/bots?pass%77ord=hunter2",
        "postgresql://a@hunter2@db.invalid/bots",
        "postgresql:///bots",
        "postgresql://db.invalid:99999/bots",
        "postgresql://db.invalid/bots?host",
        "mysql://db.invalid/bots",
        "host=db.invalid dbname=bots",
        "postgresql://db .invalid/bots",
    ],
)
def test_database_address_that_is_none_or_holds_a_password_is_refused_and_not_shown(url: str) -> None:
    sentence = problem(f'[journal]\nurl = "{url}"')
    assert sentence.startswith("journal.url: expected an address such as ")
    assert "hunter2" not in sentence


@pytest.mark.parametrize("bot", ["", "-a", "a b", "a/b", "a" * 65, "\\u00e9"])
def test_bot_that_is_no_name_is_refused(bot: str) -> None:
    assert problem(f'[journal]\nbot = "{bot}"').startswith("journal.bot: expected a name of 1 to 64 letters")


def test_journal_is_a_file_or_a_database() -> None:
    url = 'url = "postgresql://db.invalid/bots?sslmode=disable"'
    assert problem(f'[journal]\npath = "a"\n{url}').startswith('journal.path: expected "" because journal.url is set')
    assert problem('[journal]\npassword_file = "a"') == (
        'journal.password_file: expected "" because journal.url is "", got "a"'
    )
    redacted = config.redacted(parse(f"[journal]\n{url}", "my.toml"))
    assert redacted.journal.url == "postgresql://db.invalid/bots"


def test_redacted_settings_hold_no_query_and_no_long_path() -> None:
    key = "hunter2hunter2hunter2"
    text = f'[cluster]\nrpc_url = "http://127.0.0.1:1/{key}?k={key}"\nws_url = "ws://127.0.0.1:1/?k={key}"'
    settings = parse(text, "my.toml")
    assert key in render(settings)
    assert key not in render(config.redacted(settings))
    assert config.redacted(settings).cluster.ws_url == "ws://127.0.0.1:1/"
    assert config.redacted(Settings()) == Settings()
