"""The table of settings: one frozen record a section, with each field's type, default, range, unit and description.

Everything that is said of a setting elsewhere (validation, the written file, the JSON schema, the sentences of errors)
is derived from here. The rules that a section configures live where they are applied; a test holds their defaults
against these.
"""

from typing import Annotated, Final, Literal

import msgspec

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
    "LimitsSettings",
    "LocalnetSettings",
    "OrdersSettings",
    "PaperSettings",
    "PrivacySettings",
    "RugSettings",
    "SafetySettings",
    "Settings",
    "TradeSettings",
    "WalletsSettings",
]

Gate = Literal["all", "facts", "none"]
"""What holds back a send: every safety layer, the layers that read facts, or nothing."""

_PRICE: Final = "micro-lamports per compute unit"


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


def _percent(description: str) -> msgspec.Meta:
    return _about(description, unit="percent", ge=1, le=100)


def _count(description: str, *, ge: int = 0, le: int) -> msgspec.Meta:
    return _about(description, ge=ge, le=le)


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
_Name = Annotated[str, msgspec.Meta(extra={"form": "name"})]
_Pattern = Annotated[str, msgspec.Meta(extra={"form": "pattern"})]
_QuoteMint = Annotated[str, msgspec.Meta(extra={"form": "quote"})]
_Gain = Annotated[int, msgspec.Meta(ge=1, le=10_000_000)]
_Share = Annotated[int, msgspec.Meta(ge=1, le=BPS)]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all sections share: frozen, by keyword only, no unknown keys."""


class ClusterSettings(_Section, frozen=True, kw_only=True):
    """Which chain to trade on: set both addresses, or neither to start an embedded chain of our own.

    `run --cluster localnet` joins loopback addresses only.
    """

    rpc_url: Annotated[str, _text("JSON-RPC address of a running chain.", form="http")] = ""
    ws_url: Annotated[str, _text("WebSocket address of the same chain.", form="ws")] = ""
    other_rpc_urls: Annotated[
        tuple[_HttpUrl, ...],
        _list_of("Further JSON-RPC addresses of the same chain: reads fail over, sends go to all.", max_length=7),
    ] = ()
    other_ws_urls: Annotated[
        tuple[_WsUrl, ...], _list_of("Their WebSocket addresses, taken in turn when one is lost.", max_length=7)
    ] = ()
    geyser_url: Annotated[
        str, _text("A Yellowstone Geyser stream of the same chain, raced against the WebSocket feed.", form="http")
    ] = ""
    geyser_token_file: Annotated[
        str, _text("Its x-token, on the first line of a file that nobody else may read.", form="path", max_length=4_096)
    ] = ""
    jito_url: Annotated[
        str,
        _text(
            "A Jito block engine: buys go there as bundles of one, with a tip; a failed one costs nothing.",
            form="http",
        ),
    ] = ""
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
    """What a transaction offers for its place in a block: its priority fee is unit price times unit limit.

    Limits and prices are learned from what lands; the three values below hold until enough has been seen. What others
    paid is known from a Geyser stream alone, and so are the percentiles; without one a price is what the node calls the
    least that landed lately, and an emergency pays a multiple of it. The embedded chain is first come, first served:
    there a higher price buys nothing.
    """

    unit_price_microlamports_per_cu: Annotated[
        MicroLamportsPerCu,
        _about("Compute unit price until prices are known.", unit=_PRICE, ge=0, le=1_000_000_000),
    ] = MicroLamportsPerCu(100_000)
    buy_unit_limit: Annotated[ComputeUnits, _compute_units("Compute unit limit of a buy until it is learned.")] = (
        ComputeUnits(160_000)
    )
    sell_unit_limit: Annotated[ComputeUnits, _compute_units("The same of a sell.")] = ComputeUnits(120_000)
    min_price_microlamports_per_cu: Annotated[
        MicroLamportsPerCu, _about("A buy that cannot offer this much is not sent.", unit=_PRICE, ge=0, le=10**9)
    ] = MicroLamportsPerCu(1_000)
    entry_percentile: Annotated[
        int, _percent("Which percentile of the prices that landed a buy offers; with a Geyser stream only.")
    ] = 75
    exit_percentile: Annotated[int, _percent("The same for a sell, with a Geyser stream only.")] = 50
    emergency_percentile: Annotated[int, _percent("The same for an emergency sell, with a Geyser stream only.")] = 95
    emergency_multiplier_bps: Annotated[
        int,
        _bps(
            "Without one, or before it has told enough: what an emergency sell offers of another sell's price.",
            ge=10_000,
            le=1_000_000,
        ),
    ] = 30_000
    escalation_bps: Annotated[
        int, _bps("What a price is multiplied by after the transaction before it expired.", ge=10_000, le=20_000)
    ] = 15_000
    max_bid_lamports: Annotated[
        Lamports, _lamports("The most one transaction may offer, priority fee and tip.", ge=0, le=LAMPORTS_PER_SOL)
    ] = Lamports(2_000_000)
    max_hour_lamports: Annotated[
        Lamports, _lamports("The most all of any 60 minutes may offer together.", ge=0, le=1_000 * LAMPORTS_PER_SOL)
    ] = Lamports(100_000_000)
    exit_reserve_bps: Annotated[int, _bps("Share of the hour's offers that buys leave to sells.")] = 3_000
    max_share_bps: Annotated[int, _bps("The most an offer may be of what the transaction moves.", ge=1)] = 500
    min_tip_lamports: Annotated[
        Lamports, _lamports("The least a buy tips where it goes through a block engine.", ge=1_000, le=LAMPORTS_PER_SOL)
    ] = Lamports(10_000)
    expected_gain_bps: Annotated[
        int, _bps("What a position is hoped to gain; a buy whose fees eat it is refused. 0 = not checked.", le=10**6)
    ] = 0
    expected_chance_bps: Annotated[int, _bps("How likely that gain is.")] = 5_000
    min_margin_bps: Annotated[int, _bps("How far the expected gain must exceed the expected fees.")] = 0


SafetyLayer = Literal["mint_facts", "liquidity", "holders", "creator_history", "round_trip"]


class SafetySettings(_Section, frozen=True, kw_only=True):
    """What a coin must pass before money is sent."""

    gate: Annotated[
        Gate,
        _about(
            'What holds back a send: "all" = every check, "facts" = what the accounts say but not the simulated '
            'buy and sell, "none" = nothing (a trap then takes the money).'
        ),
    ] = "all"
    budget_ms: Annotated[int, _milliseconds("A check that takes longer is no yes.", ge=1, le=60_000)] = 150
    layers: Annotated[
        tuple[SafetyLayer, ...],
        _list_of("What is checked. Of RPC calls holders costs two more, creator_history one more.", max_length=5),
    ] = ("mint_facts", "liquidity", "round_trip")
    advisory_layers: Annotated[
        tuple[SafetyLayer, ...],
        _list_of("Those whose silence is no refusal; what they deny is denied all the same.", max_length=5),
    ] = ()
    max_round_trip_loss_bps: Annotated[
        BasisPoints, _bps("The most a simulated buy and sell may lose, fees included.")
    ] = BasisPoints(600)
    max_owner_bps: Annotated[BasisPoints, _bps("Layer holders: share of the supply of one owner.")] = BasisPoints(2_000)
    max_top_bps: Annotated[BasisPoints, _bps("Layer holders: of the ten largest owners together.")] = BasisPoints(4_000)
    max_creator_holds_bps: Annotated[BasisPoints, _bps("Layer holders: of the creator.")] = BasisPoints(1_000)


class FiltersSettings(_Section, frozen=True, kw_only=True):
    """Which coins are worth a buy, judged by the facts of the creating transaction alone."""

    min_liquidity_lamports: Annotated[
        Lamports, _lamports("Real quote reserves a pool must hold after creation.", ge=0, le=10**15)
    ] = Lamports(0)
    max_liquidity_lamports: Annotated[Lamports, _lamports("The most it may hold; 0 = any.", ge=0, le=10**15)] = (
        Lamports(0)
    )
    min_market_cap_lamports: Annotated[Lamports, _lamports("Supply times price after creation.", ge=0, le=10**18)] = (
        Lamports(0)
    )
    max_market_cap_lamports: Annotated[Lamports, _lamports("The most; 0 = any.", ge=0, le=10**18)] = Lamports(0)
    max_age_ms: Annotated[
        int, _milliseconds("How long ago the frame may have been read; 0 = any.", ge=0, le=3_600_000)
    ] = 0
    max_creator_bought_bps: Annotated[
        BasisPoints, _bps("Share of the supply its creator may buy in the creating transaction.")
    ] = BasisPoints(2_000)
    min_creator_bought_bps: Annotated[BasisPoints, _bps("Share of the supply its creator must buy there.")] = (
        BasisPoints(0)
    )
    max_creator_fee_bps: Annotated[BasisPoints, _bps("The most the creator may take of each trade.")] = BasisPoints(300)
    allow_mayhem: Annotated[bool, _about("Whether to buy coins created in mayhem mode.")] = False
    allow_cashback: Annotated[bool, _about("Whether to buy coins with cashback.")] = True
    quote_mints: Annotated[
        tuple[_QuoteMint, ...], _list_of('What a pool may be priced in: "SOL", or mints.', max_length=16)
    ] = ("SOL",)
    require_uri: Annotated[bool, _about("Whether a coin must name a metadata document.")] = False
    require_socials: Annotated[
        bool,
        _about("Whether that document must name a site or a social account; it is fetched beside the safety check."),
    ] = False
    deny_names: Annotated[
        tuple[_Pattern, ...],
        _list_of("Regular expressions, in any case: a name or symbol that one is found in is refused.", max_length=100),
    ] = ()
    require_names: Annotated[
        tuple[_Pattern, ...],
        _list_of("The same: one of them must be found in name or symbol; none = any name.", max_length=100),
    ] = ()
    allow_creators: Annotated[
        tuple[_Address, ...], _list_of("Creators whose coins are bought; none = anybody's.", max_length=10_000)
    ] = ()
    deny_creators: Annotated[
        tuple[_Address, ...], _list_of("Creators whose coins are refused.", max_length=10_000)
    ] = ()
    deny_symbols: Annotated[
        tuple[_Symbol, ...], _list_of("Symbols that are refused: the whole symbol, in any case.", max_length=10_000)
    ] = ()
    hook: Annotated[
        str,
        _text(
            'A Python function "module:function" that is given each pool the filters accept and returns None, or why '
            "it is refused. It runs on the event loop: keep it short.",
            form="callable",
        ),
    ] = ""


class ExitsSettings(_Section, frozen=True, kw_only=True):
    """When a position is sold: gains and losses are measured from what it was quoted at when bought; 0 = rule off."""

    take_profit_bps: Annotated[int, _bps("Sell when the position is worth this much more.", ge=1, le=10_000_000)] = (
        2_500
    )
    ladder_gains_bps: Annotated[
        tuple[_Gain, ...],
        _list_of("Take profit in steps instead: the gains, ascending.", max_length=16),
    ] = ()
    ladder_shares_bps: Annotated[
        tuple[_Share, ...], _list_of("How much of what was bought each step sells.", max_length=16)
    ] = ()
    stop_loss_bps: Annotated[BasisPoints, _bps("Sell when the position is worth this much less.", ge=1, le=9_999)] = (
        BasisPoints(2_000)
    )
    trail_arm_bps: Annotated[int, _bps("From this gain on a stop follows the highest value.", le=10**6)] = 0
    trail_bps: Annotated[int, _bps("So far below it.", le=9_999)] = 0
    break_even_at_bps: Annotated[int, _bps("At this gain the stop moves up to the entry.", le=10**6)] = 0
    break_even_offset_bps: Annotated[int, _bps("And so much above it.", le=10**6)] = 0
    max_hold_ms: Annotated[int, _milliseconds("Sell when the position is this old.", ge=1, le=86_400_000)] = 8_000
    decay_from_ms: Annotated[int, _milliseconds("From this age on the stop loss tightens.", ge=0, le=86_400_000)] = 0
    decay_to_ms: Annotated[int, _milliseconds("Until this age.", ge=0, le=86_400_000)] = 0
    decay_stop_bps: Annotated[int, _bps("What it has tightened to by then.", le=9_999)] = 0
    tighten_bps: Annotated[
        int, _bps("How far below the value of the moment a mild rug signal puts the stop.", le=9_999)
    ] = 500
    emergency_slippage_bps: Annotated[
        tuple[_Share, ...],
        _list_of(
            "What the first, second ... emergency sell accepts below the quote; 10_000 = any price.", max_length=8
        ),
    ] = (10_000,)
    retry_ms: Annotated[int, _milliseconds("Pause after a sell that did not fail by its price.", ge=0, le=60_000)] = 200
    max_attempts: Annotated[
        int, _count("How often a sell is built before it is given up. Each accepts twice the slippage.", ge=1, le=100)
    ] = 5
    max_emergency_attempts: Annotated[int, _count("The same in an emergency.", ge=1, le=1_000)] = 20


RugAct = Literal["exit_now", "tighten", "note"]


class RugSettings(_Section, frozen=True, kw_only=True):
    """What is a sign of a rug while a position is held, and what each leads to."""

    window_slots: Annotated[int, _count("How many slots back outflows are added up.", ge=1, le=1_000)] = 10
    drain_slot_bps: Annotated[int, _bps("Share of the reserve that may leave within one slot.", ge=1)] = 4_000
    drain_window_bps: Annotated[int, _bps("Share that may leave within the window.", ge=1)] = 6_000
    outflow_bps: Annotated[int, _bps("Share whose leaving within the window is a mild sign.", ge=1)] = 3_000
    creator_dump_bps: Annotated[int, _bps("Share the creator may take out within the window.", ge=1)] = 2_000
    insider_dump_bps: Annotated[int, _bps("Share the insiders may take out within the window.", ge=1)] = 3_000
    min_outflow_lamports: Annotated[
        Lamports, _lamports("Less than this is no drain, whatever its share.", ge=0, le=10**15)
    ] = Lamports(50_000_000)
    drain_slot: Annotated[RugAct, _about("A drain within one slot.")] = "exit_now"
    drain_window: Annotated[RugAct, _about("A drain within the window.")] = "exit_now"
    outflow: Annotated[RugAct, _about("A mild outflow.")] = "tighten"
    creator_dump: Annotated[RugAct, _about("The creator sells.")] = "exit_now"
    insider_dump: Annotated[RugAct, _about("Insiders sell.")] = "exit_now"
    frozen: Annotated[RugAct, _about("Our token account is frozen; it cannot be sold from.")] = "note"
    balance_fell: Annotated[RugAct, _about("Tokens were taken from us.")] = "exit_now"
    account_closed: Annotated[RugAct, _about("Our token account was closed.")] = "note"
    account_taken: Annotated[RugAct, _about("Our token account is somebody else's.")] = "note"
    supply_up: Annotated[RugAct, _about("The supply rose.")] = "exit_now"
    authority_set: Annotated[RugAct, _about("The mint has a new authority.")] = "exit_now"
    fee_raised: Annotated[RugAct, _about("A transfer costs more.")] = "exit_now"
    permanent_delegate: Annotated[RugAct, _about("Somebody may move or burn our tokens.")] = "exit_now"
    transfer_hook: Annotated[RugAct, _about("Transfers call a program.")] = "exit_now"
    paused: Annotated[RugAct, _about("Transfers are paused.")] = "exit_now"
    default_frozen: Annotated[RugAct, _about("New token accounts start frozen.")] = "tighten"
    extension_added: Annotated[RugAct, _about("The mint has an extension it had not.")] = "exit_now"
    mint_closed: Annotated[RugAct, _about("The mint was closed.")] = "exit_now"


class LimitsSettings(_Section, frozen=True, kw_only=True):
    """What may be risked; 0 = no such limit. Live trading needs the first three set."""

    trade_lamports: Annotated[Lamports, _lamports("The most one buy may spend.", ge=0, le=1_000 * LAMPORTS_PER_SOL)] = (
        Lamports(0)
    )
    hour_lamports: Annotated[Lamports, _lamports("The most all buys of any 60 minutes may cost.", ge=0, le=10**15)] = (
        Lamports(0)
    )
    day_lamports: Annotated[Lamports, _lamports("The same of any 24 hours.", ge=0, le=10**15)] = Lamports(0)
    wallet_day_lamports: Annotated[Lamports, _lamports("The same for each wallet.", ge=0, le=10**15)] = Lamports(0)
    drawdown_lamports: Annotated[
        Lamports, _lamports("Buying stops when equity fell this far below its highest.", ge=0, le=10**15)
    ] = Lamports(0)
    snipes_in_flight: Annotated[
        int, _count("Pools being checked or bought at once; others wait.", ge=1, le=100_000)
    ] = 64
    waiting_pools: Annotated[
        int, _count("Pools that wait; when one more comes, the oldest is dropped and counted.", ge=0, le=100_000)
    ] = 64
    max_wait_ms: Annotated[
        int, _milliseconds("A pool that has waited longer is dropped and counted, too.", ge=1, le=60_000)
    ] = 1_000


class PrivacySettings(_Section, frozen=True, kw_only=True):
    """How far what we do may vary, so that a copier finds no fixed fingerprint; 0 = that does not vary."""

    entry_jitter_ms: Annotated[int, _milliseconds("The most a buy is delayed.", ge=0, le=60_000)] = 0
    exit_jitter_ms: Annotated[
        int, _milliseconds("The most a sell is delayed; an emergency never is.", ge=0, le=60_000)
    ] = 0
    funding_jitter_ms: Annotated[int, _milliseconds("The most a transfer is delayed.", ge=0, le=3_600_000)] = 60_000
    size_noise_bps: Annotated[int, _bps("How much less than `buy_lamports` a buy may spend.", le=5_000)] = 300
    limit_variation_bps: Annotated[int, _bps("How much may be added to a compute unit limit.")] = 300
    bid_variation_bps: Annotated[int, _bps("How far a price may go up or down.", le=9_999)] = 1_000


class WalletsSettings(_Section, frozen=True, kw_only=True):
    """Who pays."""

    count: Annotated[int, _count("Embedded chain: how many wallets are made and funded.", ge=1, le=64)] = 1
    keystore: Annotated[
        str,
        _text(
            "Other clusters: the keystore's file; \"\" = the one in the user's folder.", form="path", max_length=4_096
        ),
    ] = ""
    names: Annotated[tuple[_Name, ...], _list_of("Which of its wallets trade; none = all.", max_length=64)] = ()
    rotation: Annotated[Literal["round_robin", "least_used", "fresh_every_n"], _about("Whose turn it is to pay.")] = (
        "round_robin"
    )
    buys_per_wallet: Annotated[int, _count("N of fresh_every_n.", ge=1, le=1_000_000)] = 1
    max_spend_per_hour_lamports: Annotated[
        Lamports, _lamports("What the buys of one wallet may cost within an hour; 0 = any.", ge=0, le=10**15)
    ] = Lamports(0)
    max_spend_per_day_lamports: Annotated[Lamports, _lamports("Within a day; 0 = any.", ge=0, le=10**15)] = Lamports(0)
    max_open_positions: Annotated[int, _count("Positions of one wallet; 0 = any.", ge=0, le=10_000)] = 0
    max_at_risk_lamports: Annotated[
        Lamports, _lamports("The cost of what one wallet holds; 0 = any.", ge=0, le=10**15)
    ] = Lamports(0)


class OrdersSettings(_Section, frozen=True, kw_only=True):
    """How a sent transaction is followed until it has landed or can no longer land."""

    rebroadcast_ms: Annotated[int, _milliseconds("How often the same bytes are sent again.", ge=10, le=60_000)] = 400
    status_poll_ms: Annotated[
        int, _milliseconds("How often the signature's status is asked for.", ge=10, le=60_000)
    ] = 400


class PaperSettings(_Section, frozen=True, kw_only=True):
    """What `run --cluster paper` and `replay --trade` charge for sends that are never made: a model, stated here.

    Prices, fees and slippage are not modelled: each fill is computed from the chain's own state.
    """

    wallet_lamports: Annotated[
        Lamports, _lamports("What each paper wallet begins with.", ge=LAMPORTS_PER_SOL // 10, le=10**15)
    ] = Lamports(10 * LAMPORTS_PER_SOL)
    landing_slots: Annotated[int, _count("Slots from a send's arrival to its landing; mainnet took 3 to 6.", le=32)] = 3
    drop_bps: Annotated[int, _bps("Sends that are lost on the way and cost nothing; the bot sends again.")] = 500
    failure_bps: Annotated[
        int, _bps("Transactions that land with an error for no fault of their own, and pay their fee.")
    ] = 200
    tip_lamports: Annotated[Lamports, _lamports("What each landed transaction tips.", ge=0, le=10**9)] = Lamports(0)
    seed: Annotated[int, _about("Which sends are lost and which fail follows from it.", ge=0, le=2**63 - 1)] = 1


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
    limits: LimitsSettings = LimitsSettings()
    wallets: WalletsSettings = WalletsSettings()
    fees: FeesSettings = FeesSettings()
    safety: SafetySettings = SafetySettings()
    filters: FiltersSettings = FiltersSettings()
    exits: ExitsSettings = ExitsSettings()
    rug: RugSettings = RugSettings()
    privacy: PrivacySettings = PrivacySettings()
    orders: OrdersSettings = OrdersSettings()
    paper: PaperSettings = PaperSettings()
    journal: JournalSettings = JournalSettings()
