"""From the frame of a rug to the emergency exit signed: the bot's own time beside its floor, in one run.

The engine runs as `slotzero run` starts it, on a chain in a process of its own; each sample is a position of its own,
bought there, whose creator then sells all it has. Measured is what the keeper measures: from the instant the frame was
read to the sell that is ready to be sent, its intent made and its fee charged; decoding, rug watch, exit rules and the
choice of the sell are in it, the journal and the wire are not. Between two samples the floor is measured on the same
loop: a signature over as many bytes as an emergency sell has, the sell of the shelf taken, and one signed on the spot.

    python benchmarks/bench_exits.py [SAMPLES]
"""

import asyncio
import gc
import inspect
import sys
from collections.abc import Callable

import uvloop
from nacl.bindings import crypto_sign, crypto_sign_seed_keypair
from solders.hash import Hash
from solders.pubkey import Pubkey

from environment import print_environment, print_row
from slotzero.clock import mono_ns
from slotzero.localnet import genesis
from slotzero.perf.stats import nearest_rank
from slotzero.secret import Secret
from slotzero.solana.addresses import TOKEN_2022_PROGRAM
from slotzero.solana.transaction import RecentBlockhash, Signer, compute_budget, sign
from slotzero.trace import Span
from slotzero.trading.emergency_shelf import EmergencyShelf
from slotzero.trading.fee_policy import FeeChoice, FeePolicy, FeeRequest, FeeRules
from slotzero.units import BlockHeight, ComputeUnits, Lamports, MonoNs, Slot, TokenAmount
from slotzero.venues.market import Market
from slotzero.venues.pumpfun.trader import PumpfunTrader
from slotzero.venues.records import NewPool, Reserves
from slotzero.workloads.components.positions import rug_detection

SAMPLES = 100
WARM_UP = 5
SLOT_MS = "50"
FLOORS_A_SAMPLE = 20
AIM_MS = 2.0
HELD = TokenAmount(3_000_000_000_000)


class Floor:
    """What no exit can do without, and the two ways to have a signed sell."""

    def __init__(self) -> None:
        self.signature: list[int] = []
        self.taken: list[int] = []
        self.on_the_spot: list[int] = []
        self.laid: list[int] = []
        self._signer = Signer(Secret(bytes(range(32))))
        self._market = market(self._signer)
        self._blockhash = RecentBlockhash(hash=Hash.new_unique(), last_valid_block_height=BlockHeight(1_000))
        self._fees = fee_choice(self._market)
        self._secret = crypto_sign_seed_keypair(bytes(range(32)))[1]
        self._message = bytes(len(self._sold(0)) - 65)

    @property
    def sell_bytes(self) -> int:
        """How long an emergency sell is."""
        return len(self._message) + 65

    def measure(self) -> None:
        """Take a few of each."""
        shelf = EmergencyShelf(self._signer, self._market)
        for number in range(FLOORS_A_SAMPLE):
            t0 = mono_ns()
            crypto_sign(self._message, self._secret)
            t1 = mono_ns()
            shelf.lay(HELD, blockhash=self._blockhash, fees=self._fees, salt=3 * number)
            t2 = mono_ns()
            ready = shelf.take(HELD, BlockHeight(1))
            t3 = mono_ns()
            self._sold(number)
            t4 = mono_ns()
            assert ready is not None
            samples = (self.signature, self.laid, self.taken, self.on_the_spot)
            for found, took in zip(samples, (t1 - t0, t2 - t1, t3 - t2, t4 - t3), strict=True):
                found.append(took)

    def _sold(self, number: int) -> bytes:
        budget = compute_budget(ComputeUnits(self._fees.limit - number), self._fees.price)
        sell = self._market.sell(HELD, Lamports(0), closes_account=False)
        return sign(self._signer, [*budget, *sell], self._blockhash).raw


def market(signer: Signer) -> Market:
    """Return a coin's market as the embedded chain configures it."""
    trader, born = PumpfunTrader(signer.pubkey), genesis.derive(7)
    trader.configure([genesis.global_data(born), genesis.fee_config_data(born)])
    key = Pubkey.new_unique()
    pool = NewPool(
        venue="pumpfun",
        mint=key,
        pool=key,
        creator=key,
        user=key,
        name="",
        symbol="",
        uri="",
        token_program=TOKEN_2022_PROGRAM,
        quote_mint=None,
        reserves=Reserves(
            virtual_token=1_073_000_000_000_000, virtual_quote=30 * 10**9, real_token=793_100_000_000_000, real_quote=0
        ),
        token_supply=TokenAmount(10**15),
        creator_bought=TokenAmount(0),
        creator_fee_bps=0,
        is_mayhem=False,
        is_cashback=False,
        is_holder_reward=False,
        signature="",
        slot=Slot(1),
        mono_cause=None,
        mono_frame=MonoNs(0),
        starts_at="frame",
    )
    return trader.market(pool)


def fee_choice(at: Market) -> FeeChoice:
    """Return what an emergency offers."""
    policy = FeePolicy(FeeRules(), {("pumpfun", "sell"): ComputeUnits(120_000)})
    request = FeeRequest(
        venue="pumpfun",
        kind="sell",
        purpose="emergency",
        hot_accounts=(at.state_account,),
        stake_lamports=Lamports(100_000_000),
    )
    choice = policy.choose(request, MonoNs(0))
    assert isinstance(choice, FeeChoice)
    return choice


async def measured(samples: int) -> tuple[list[int], Floor]:
    """Run the rugs, and the floor between them."""
    floor, whole = Floor(), list[int]()
    async with rug_detection.open(slot_ms=SLOT_MS, seed="7") as rug:
        gc.collect()
        gc.freeze()
        for number in range(WARM_UP + samples):
            await called(rug.setup)
            span = await called(rug.run)
            await called(rug.teardown)
            assert isinstance(span, Span)
            if number >= WARM_UP:
                whole.append(span.total_ns)
            floor.measure()
    return whole, floor


async def called(step: Callable[[], object] | None) -> object:
    """Call what may be sync, async or absent."""
    found: object = None if step is None else step()
    return await found if inspect.isawaitable(found) else found


def main() -> None:
    """Measure and print."""
    samples = int(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        whole, floor = runner.run(measured(samples))
    print_environment(f"rug -> emergency exit (own time of the running engine; slots of {SLOT_MS} ms, a sell each)")
    print(f"  an emergency sell has {floor.sell_bytes} bytes; RPC calls in between: 0")
    print_row("frame of the rug -> emergency exit signed", whole)
    print_row("floor: the signature alone", floor.signature)
    print_row("a sell taken off the shelf", floor.taken)
    print_row("the same signed on the spot", floor.on_the_spot)
    print_row("laying the shelf (three sells, ahead of time)", floor.laid)
    p95 = nearest_rank(sorted(whole), 95) / 1e6
    print(f"  p95 {p95:.3f} ms, aim {AIM_MS} ms: {'met' if p95 <= AIM_MS else 'missed'}")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
