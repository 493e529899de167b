"""From a feed's frame to the buy's signed bytes: the sniper's own time, beside its floor. No RPC call in between.

The frames are those of real creations on the embedded chain's VM, each with a mint of its own (so that address
derivations vary as they do in life). Measured is what the bot runs, in its order: the detector, the filters, the
variations for privacy and the wallet whose turn it is, the market's accounts and the plan, the limits and the fees, and
the signature. The floor is what no such bot can do without: decode the event's base64, derive the four
addresses that depend on the coin, and sign as many bytes.

    python benchmarks/bench_frame_to_signed.py
"""

import gc
import sys
from base64 import b64decode
from random import Random

import msgspec
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from environment import print_environment, print_row
from slotzero.clock import mono_ns
from slotzero.config import Settings
from slotzero.detection.detector import Detector
from slotzero.localnet.chain import Chain, ChainConfig, Landed
from slotzero.secret import Secret
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, associated_token_address
from slotzero.solana.transaction import RecentBlockhash, Signer, compute_budget, sign
from slotzero.trading.fee_policy import FeeChoice, FeePolicy, FeeRequest
from slotzero.trading.filters import Filters, Refusal
from slotzero.trading.limits import Limits, SpendRequest
from slotzero.trading.plan import BuyPlan, plan_buy
from slotzero.trading.privacy import Privacy, PrivacyPlan
from slotzero.trading.rules import fee_rules, limits_rules, privacy_rules, unit_seeds, wallet_caps
from slotzero.trading.wallets.book import Reservation, WalletBook
from slotzero.units import BlockHeight, ComputeUnits, Lamports, MicroLamportsPerCu, MonoNs, WallNs
from slotzero.venues import pumpfun
from slotzero.venues.market import Market
from slotzero.venues.pumpfun.addresses import FEE_CONFIG, GLOBAL, creator_vault_address, curve_v2_address
from slotzero.venues.pumpfun.trader import PumpfunTrader
from slotzero.venues.registry import PUMPFUN

WARM_UP = 200
SAMPLES = 2_000
BLOCK = 50
STAGES = ("detect", "filter", "wallet, privacy", "plan", "limits, fees", "sign")
DATA = b'"Program data: G3KpTd7r'


def main() -> None:
    """Measure and print."""
    chain = Chain(ChainConfig(seed=7, slot_ms=0))
    frames = [frame_of_creation(chain, index) for index in range(WARM_UP + SAMPLES)]
    signer = Signer(Secret(bytes(range(32))))
    trader = PumpfunTrader(signer.pubkey)
    accounts = [chain.account(key) for key in (GLOBAL, FEE_CONFIG)]
    trader.configure([None if account is None else account.data for account in accounts])
    settings, detector = Settings(), Detector([PUMPFUN])
    filters = Filters(settings.filters)
    blockhash = RecentBlockhash(hash=chain.block.blockhash, last_valid_block_height=BlockHeight(150))
    book, limits, privacy, fees = choosers(settings, signer.pubkey)

    whole, floor = list[int](), list[int]()
    stages: dict[str, list[int]] = {
        name: [] for name in ("detect", "filter", "wallet, privacy", "plan", "limits, fees", "sign")
    }
    size = 0
    without_collector()
    for index, frame in enumerate(frames):
        t0 = mono_ns()
        (pool,) = detector.on_frame(frame, MonoNs(t0))
        t1 = mono_ns()
        assert filters.decide(pool) is None
        t2 = mono_ns()
        private = privacy.plan("entry", settings.trade.buy_lamports)
        reserved = book.choose(private.lamports, t2)
        t3 = mono_ns()
        market = trader.market(pool)
        plan = plan_buy(market, pool.reserves, settings.trade, private.lamports)
        assert not isinstance(plan, Refusal)
        t4 = mono_ns()
        assert limits.check(SpendRequest(wallet=signer.pubkey, lamports=plan.limit_lamports), WallNs(t4)) is None
        choice = fees.choose(request(market, plan, private), MonoNs(t4))
        assert isinstance(choice, FeeChoice)
        t5 = mono_ns()
        budget = compute_budget(choice.limit, choice.price)
        signed = sign(signer, [*budget, *market.buy(plan.tokens, plan.limit_lamports)], blockhash)
        t6 = mono_ns()
        assert isinstance(reserved, Reservation)
        book.release(reserved)
        whole.append(t6 - t0)
        spans = (t1 - t0, t2 - t1, t3 - t2, t4 - t3, t5 - t4, t6 - t5)
        for name, duration in zip(stages, spans, strict=True):
            stages[name].append(duration)
        size = len(signed.raw)
        if (index + 1) % BLOCK == 0:  # the machine's mood changes within seconds: both meet the same
            floor += floor_of(frames[index + 1 - BLOCK : index + 1], signer.pubkey, size)
    gc.enable()

    print_environment("frame -> signed bytes (own time, warm, garbage collection off)")
    print(f"  frame {len(frames[-1])} bytes, transaction {size} bytes, RPC calls in between: 0")
    print_row("frame -> signed bytes", whole[WARM_UP:])
    for name, samples in stages.items():
        print_row(f"  of it: {name}", samples[WARM_UP:])
    print_row("floor: base64 + 4 address derivations + signature", floor[WARM_UP:])
    sys.stdout.flush()


def without_collector() -> None:
    """Keep the garbage collector out of the samples."""
    gc.collect()
    gc.freeze()
    gc.disable()


def choosers(settings: Settings, wallet: Pubkey) -> tuple[WalletBook, Limits, Privacy, FeePolicy]:
    """Return the machines that decide who pays, whether, and what is offered, as the defaults set them up."""
    book = WalletBook(settings.wallets.rotation, wallet_caps(settings.wallets))
    book.add(wallet, balance=Lamports(10**12), kept=Lamports(0))
    limits = Limits(limits_rules(settings.limits, open_positions=3), overhead_lamports=Lamports(0))
    privacy = Privacy(privacy_rules(settings.privacy), Random(7))  # noqa: S311 repeatable
    return book, limits, privacy, FeePolicy(fee_rules(settings.fees), unit_seeds(settings.fees, "pumpfun"))


def request(market: Market, plan: BuyPlan, private: PrivacyPlan) -> FeeRequest:
    """Return what a first buy asks of the fee policy."""
    return FeeRequest(
        venue="pumpfun",
        kind="first_buy",
        purpose="entry",
        hot_accounts=(market.state_account,),
        stake_lamports=plan.limit_lamports,
        variation=private.fees,
    )


def frame_of_creation(chain: Chain, index: int) -> bytes:
    """Create a coin on the chain and return the notification its subscribers would get."""
    creator, mint = funded_creator(chain), Keypair.from_seed(index.to_bytes(32, "little"))
    create = pumpfun.create_v2(
        user=creator.pubkey(),
        mint=mint.pubkey(),
        creator=creator.pubkey(),
        name=f"Benchmark coin {index}",
        symbol=f"B{index}",
        uri="https://ipfs.io/ipfs/bafkreicpd6lbavzzuyvcvy33grrmyoaz52sldtlfyjm3fnojmxho737oqq",
    )
    instructions = [*compute_budget(ComputeUnits(300_000), MicroLamportsPerCu(1_000)), create]
    message = MessageV0.try_compile(creator.pubkey(), instructions, [], chain.block.blockhash)
    landed = chain.submit(bytes(VersionedTransaction(message, [creator, mint])))
    assert isinstance(landed, Landed)
    assert landed.record.err is None
    value = {"signature": str(landed.record.signature), "err": None, "logs": landed.record.metadata.logs()}
    context = {"slot": landed.record.slot, "monoNs": landed.record.mono_ns}
    params = {"result": {"context": context, "value": value}, "subscription": 1}
    return msgspec.json.encode({"jsonrpc": "2.0", "method": "logsNotification", "params": params})


def funded_creator(chain: Chain) -> Keypair:
    """Return the one creator, with money."""
    creator = Keypair.from_seed(b"benchmark creator".ljust(32, b"."))
    if chain.account(creator.pubkey()) is None:
        chain.airdrop(creator.pubkey(), Lamports(10**14))
    return creator


def floor_of(frames: list[bytes], wallet: Pubkey, size: int) -> list[int]:
    """Time what cannot be left out."""
    _, secret = crypto_sign_seed_keypair(bytes(range(32)))
    message, samples = bytes(size - 65), []
    for frame in frames:
        start = mono_ns()
        at = frame.index(DATA) + len(DATA) - 8
        event = b64decode(frame[at : frame.index(b'"', at)])
        mint = Pubkey.from_bytes(event[-207:-175])
        associated_token_address(wallet, mint, TOKEN_2022_PROGRAM)
        associated_token_address(mint, mint, TOKEN_2022_PROGRAM)
        creator_vault_address(mint)
        curve_v2_address(mint)
        crypto_sign(message, secret)
        samples.append(mono_ns() - start)
    return samples


if __name__ == "__main__":
    main()
