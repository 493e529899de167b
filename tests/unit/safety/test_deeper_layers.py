"""Holders, creator and its past: what is asked, what counts, and what an advisory layer's silence means."""

from collections.abc import Sequence

import pytest
from msgspec import Struct
from solders.pubkey import Pubkey

from market_lab import SUPPLY, account, coin, curve_bytes, holding, key, mint_bytes
from slotzero.errors import MalformedError, RpcError
from slotzero.safety import (
    LAYER_NAMES,
    SNIPE_LAYERS,
    AccountView,
    CheckPolicy,
    CreatorHistoryLayer,
    CreatorHistoryPolicy,
    HolderPolicy,
    HoldersLayer,
    HoneypotChecker,
    Layer,
    LiquidityLayer,
    MintFactsLayer,
    Verdict,
    build_layers,
)
from slotzero.safety.holders import judge_holders
from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_2022_PROGRAM, associated_token_address
from slotzero.units import BasisPoints, Slot
from slotzero.venues.pumpfun import PUMP_PROGRAM
from slotzero.venues.pumpfun.addresses import MAYHEM_SOL_VAULT, creator_vault_address
from token_lab import Simulated

POOL = coin()
MINT, CREATOR = POOL.mint, POOL.creator
LIMITS = HolderPolicy(
    max_owner_bps=BasisPoints(1_000), max_top_bps=BasisPoints(2_000), max_creator_bps=BasisPoints(500)
)
PERCENT = SUPPLY // 100


def judged(*holdings: tuple[Pubkey, int], ours: Pubkey | None = None) -> list[str]:
    accounts = [holding(MINT, owner, amount) for owner, amount in holdings]
    found = judge_holders(accounts, POOL, SUPPLY, LIMITS, is_ours=lambda owner: owner == ours)
    assert all(item.decision == ("ALLOW" if item.reason in {"passed", "creator_sold"} else "DENY") for item in found)
    return [item.reason for item in found]


# ---- what counts ---------------------------------------------------------------------------------------------------


def test_pool_and_addresses_without_a_key_do_not_count() -> None:
    assert judged((POOL.pool, 70 * PERCENT), (MAYHEM_SOL_VAULT, 20 * PERCENT), (SYSTEM_PROGRAM, PERCENT)) == ["passed"]


def test_our_own_wallet_does_not_count() -> None:
    assert judged((key(1), 15 * PERCENT)) == ["holder_concentration"]
    assert judged((key(1), 15 * PERCENT), ours=key(1)) == ["passed"]


def test_several_accounts_of_one_owner_count_together() -> None:
    assert judged((key(1), 6 * PERCENT), (key(2), PERCENT), (key(1), 4 * PERCENT)) == ["passed"]
    assert judged((key(1), 6 * PERCENT), (key(1), 4 * PERCENT + 1)) == ["holder_concentration"]


def test_ten_largest_count_together_and_the_eleventh_does_not() -> None:
    assert judged(*((key(n), 2 * PERCENT) for n in range(11))) == ["passed"]
    assert judged(*((key(n), 2 * PERCENT + 1) for n in range(10))) == ["top_concentration"]


def test_creator_has_a_limit_of_its_own() -> None:
    assert judged((CREATOR, 5 * PERCENT)) == ["passed"]
    assert judged((CREATOR, 5 * PERCENT + 1)) == ["creator_holds"]
    assert judged((CREATOR, 11 * PERCENT)) == ["creator_holds"]


def test_creator_that_has_sold_what_it_bought_is_a_note() -> None:
    pool = coin(creator_bought=PERCENT)
    (found,) = judge_holders([holding(pool.mint, key(1), 1)], pool, SUPPLY, LIMITS)
    assert (found.decision, found.reason) == ("ALLOW", "creator_sold")


def test_closed_accounts_are_passed_over_and_foreign_ones_malformed() -> None:
    closed = account(b"", SYSTEM_PROGRAM, 0)
    assert judge_holders([None, closed], POOL, SUPPLY, LIMITS)[0].reason == "passed"
    with pytest.raises(MalformedError, match="must hold it"):
        judge_holders([holding(key(9), key(1), 5)], POOL, SUPPLY, LIMITS)


def test_mint_without_supply_is_denied() -> None:
    assert judge_holders([], POOL, 0, LIMITS)[0].reason == "no_supply"


def test_detail_says_that_it_is_a_lower_bound() -> None:
    (found,) = judge_holders([holding(MINT, key(1), 5 * PERCENT)], POOL, SUPPLY, LIMITS)
    assert "500 bps" in found.detail
    assert "more may be hidden" in found.detail


# ---- what is asked -------------------------------------------------------------------------------------------------


class Past(Struct, frozen=True):
    signature: str
    slot: Slot
    err: object = None


class Shallow:
    """A chain that tells accounts and nothing else."""

    def __init__(self) -> None:
        self.reads: list[tuple[Pubkey, ...]] = []
        self.known: dict[Pubkey, AccountView] = {
            MINT: account(mint_bytes(), TOKEN_2022_PROGRAM),
            POOL.pool: account(curve_bytes(POOL), PUMP_PROGRAM),
        }

    async def accounts(self, keys: Sequence[Pubkey]) -> Sequence[AccountView | None]:
        self.reads.append(tuple(keys))
        return [self.known.get(at) for at in keys]

    async def simulate(self, raw: bytes, watch: Sequence[Pubkey]) -> Simulated:
        raise AssertionError((raw, watch))


class Deep(Shallow):
    """A chain that tells more."""

    def __init__(self) -> None:
        super().__init__()
        self.largest: list[Pubkey] = []
        self.past: list[Past] = []
        self.asked: list[tuple[Pubkey, int]] = []
        self.fault: Exception | None = None

    def hold(self, owner: Pubkey, amount: int, *, is_listed: bool = True) -> None:
        at = associated_token_address(owner, MINT, TOKEN_2022_PROGRAM)
        self.known[at] = holding(MINT, owner, amount)
        if is_listed:
            self.largest.append(at)

    async def largest_accounts(self, mint: Pubkey) -> Sequence[Pubkey]:
        assert mint == MINT
        if self.fault is not None:
            raise self.fault
        return self.largest

    async def signatures(self, key: Pubkey, most: int) -> Sequence[Past]:
        self.asked.append((key, most))
        if self.fault is not None:
            raise self.fault
        return self.past[:most]


async def check(reader: Shallow, *layers: Layer, policy: CheckPolicy | None = None) -> Verdict:
    return await HoneypotChecker(reader, layers, budget_ms=5_000, policy=policy or CheckPolicy()).check(POOL, None)


async def test_holders_cost_two_calls_beyond_the_shared_read() -> None:
    reader = Deep()
    reader.hold(POOL.pool, 80 * PERCENT)
    reader.hold(key(1), PERCENT)
    verdict = await check(reader, MintFactsLayer(), LiquidityLayer(), HoldersLayer(LIMITS))
    assert verdict.decision == "ALLOW"
    assert len(reader.reads) == 2
    assert set(reader.reads[0]) == {MINT, POOL.pool, associated_token_address(CREATOR, MINT, TOKEN_2022_PROGRAM)}
    assert list(reader.reads[1]) == reader.largest
    assert set(verdict.depends_on) == set(reader.reads[0])


async def test_creator_too_small_for_the_list_is_seen_all_the_same() -> None:
    reader = Deep()
    reader.hold(CREATOR, 6 * PERCENT, is_listed=False)
    assert (await check(reader, HoldersLayer(LIMITS))).reasons == ("creator_holds",)


async def test_creator_in_the_list_is_not_counted_twice() -> None:
    reader = Deep()
    reader.hold(CREATOR, 5 * PERCENT)
    assert (await check(reader, HoldersLayer(LIMITS))).reasons == ()


@pytest.mark.parametrize("layer", [HoldersLayer(), CreatorHistoryLayer()])
async def test_reader_that_cannot_tell_leaves_a_required_layer_unsure(layer: Layer) -> None:
    verdict = await check(Shallow(), MintFactsLayer(), layer)
    assert (verdict.decision, verdict.reasons) == ("UNSURE", ("not_available",))


@pytest.mark.parametrize("layer", [HoldersLayer(), CreatorHistoryLayer()])
async def test_node_without_the_method_is_not_available_and_another_fault_is_one(layer: Layer) -> None:
    reader = Deep()
    reader.fault = RpcError("http://node", -32601, "Method not found")
    assert (await check(reader, layer)).reasons == ("not_available",)
    reader.fault = RpcError("http://node", -32602, "Invalid params")
    assert (await check(reader, layer)).reasons == ("endpoint_error",)


async def test_what_an_advisory_layer_does_not_know_is_a_note() -> None:
    policy = CheckPolicy(roles={"holders": "advisory"})
    verdict = await check(Shallow(), MintFactsLayer(), HoldersLayer(), policy=policy)
    assert (verdict.decision, verdict.facts_decision, verdict.reasons) == ("ALLOW", "ALLOW", ())
    assert verdict.notes == ("not_available",)
    assert [item.is_required for item in verdict.evidence] == [True, False]


async def test_what_an_advisory_layer_denies_is_denied() -> None:
    reader = Deep()
    reader.hold(key(1), 50 * PERCENT)
    verdict = await check(reader, MintFactsLayer(), HoldersLayer(), policy=CheckPolicy(roles={"holders": "advisory"}))
    assert (verdict.decision, verdict.reasons) == ("DENY", ("holder_concentration", "top_concentration"))


async def test_check_of_which_nothing_is_known_allows_nothing() -> None:
    policy = CheckPolicy(roles={"holders": "advisory"})
    assert (await check(Shallow(), HoldersLayer(), policy=policy)).decision == "UNSURE"


# ---- the creator's past --------------------------------------------------------------------------------------------


def past(*slots: int) -> Deep:
    reader = Deep()
    reader.past = [Past(str(slot), Slot(slot)) for slot in slots]
    return reader


async def test_trades_of_earlier_coins_are_a_note_unless_there_is_a_limit() -> None:
    reader = past(9, 8, 7, 6, 5)  # the pool was created in slot 7
    verdict = await check(reader, CreatorHistoryLayer())
    assert (verdict.decision, verdict.notes) == ("ALLOW", ("serial_creator",))
    assert verdict.evidence[0].detail.startswith("2 earlier trades")
    assert reader.asked == [(creator_vault_address(CREATOR), 100)]
    strict = CreatorHistoryLayer(CreatorHistoryPolicy(max_earlier_trades=1))
    assert (await check(reader, strict)).reasons == ("serial_creator",)
    assert (await check(past(9, 6), strict)).decision == "ALLOW"


async def test_creator_without_a_past_passes() -> None:
    assert (await check(past(9, 8, 7), CreatorHistoryLayer())).evidence[0].reason == "passed"


async def test_failed_transactions_are_no_trades() -> None:
    reader = Deep()
    reader.past = [Past("1", Slot(1), {"InstructionError": [0, "Custom"]})]
    assert (await check(reader, CreatorHistoryLayer())).evidence[0].reason == "passed"


async def test_list_that_was_cut_is_at_least_so_long() -> None:
    layer = CreatorHistoryLayer(CreatorHistoryPolicy(most_looked_at=2))
    assert (await check(past(6, 5, 4), layer)).evidence[0].detail.startswith("at least 2 earlier")


async def test_creation_of_unknown_slot_is_unsure() -> None:
    checker = HoneypotChecker(past(1), [CreatorHistoryLayer()], budget_ms=5_000)
    assert (await checker.check(coin(slot=Slot(0)), None)).reasons == ("creation_unknown",)


# ---- the catalogue -------------------------------------------------------------------------------------------------


def test_layers_are_built_by_name_in_the_catalogues_order() -> None:
    built = build_layers(reversed(LAYER_NAMES), max_round_trip_loss_bps=600)
    assert tuple(layer.name for layer in built) == LAYER_NAMES
    assert tuple(layer.name for layer in build_layers(SNIPE_LAYERS, max_round_trip_loss_bps=1)) == SNIPE_LAYERS


def test_unknown_layer_is_named() -> None:
    with pytest.raises(ValueError, match="there is no luck"):
        build_layers(["luck"], max_round_trip_loss_bps=600)  # type: ignore[list-item] # the point
