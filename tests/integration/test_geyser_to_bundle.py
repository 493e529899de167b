"""The fast way whole: a coin seen on the Geyser stream is bought by a bundle of buy and tip."""

import asyncio

from solders.instruction import Instruction

from launcher_world import BOT_LAMPORTS, Stranger
from scripted_node import eventually
from slotzero.clock import SystemClock
from slotzero.detection import Detector
from slotzero.detection.updates import read_update
from slotzero.localnet.chain import ChainConfig
from slotzero.localnet.launcher import CoinPlan, Launcher, LauncherConfig, script_coin
from slotzero.solana.blockhash import VALID_BLOCKS
from slotzero.solana.geyser import GeyserFeed
from slotzero.solana.jito import BundleFailed, BundleLanded, BundleOutcome, BundleSender, JitoClient, bundle_of
from slotzero.solana.rpc import RpcClient
from slotzero.solana.tips import tip_instruction
from slotzero.solana.transaction import RecentBlockhash, SignedTransaction, sign
from slotzero.units import BasisPoints, BlockHeight, Lamports
from slotzero.venues.pumpfun import PUMP_PROGRAM
from slotzero.venues.records import NewPool
from slotzero.venues.registry import PUMPFUN
from wire_lab import ALL_PORTS, GRPC_LOOP, WireLab, wire_lab

pytestmark = GRPC_LOOP

COINS = 12


class Buyer:
    """Signs the buy of a pool with its tip, and a sale of more than that buy brings."""

    def __init__(self, lab: WireLab) -> None:
        self.lab = lab
        self.stranger = Stranger(lab.chain, "a bundle's buyer")

    def _sign(self, *instructions: Instruction) -> SignedTransaction:
        block = self.lab.chain.block
        recent = RecentBlockhash(hash=block.blockhash, last_valid_block_height=BlockHeight(block.height + VALID_BLOCKS))
        return sign(self.stranger.actor.signer, instructions, recent)

    def buy(self, pool: NewPool) -> SignedTransaction:
        steps = self.stranger._desk.buy(
            self.stranger.accounts(pool.mint), pool.reserves, BOT_LAMPORTS, BasisPoints(5_000)
        )
        return self._sign(*steps, tip_instruction(self.stranger.actor.pubkey, Lamports(20_000), pool.slot))

    def doomed(self, lamports: int) -> SignedTransaction:
        return self._sign(tip_instruction(self.stranger.actor.pubkey, Lamports(lamports), 0))


async def test_coins_seen_on_the_stream_are_bought_by_bundles_or_not_at_all() -> None:
    async with wire_lab(ALL_PORTS, chain=ChainConfig(slot_ms=20)) as lab:
        detector, pools = Detector([PUMPFUN]), list[NewPool]()
        feed = GeyserFeed(
            [lab.geyser],
            accounts=[PUMP_PROGRAM],
            handler=lambda update, now: pools.extend(detector.on_update(update, now, read_update)),
            clock=SystemClock(),
        )
        direct = lab.localnet.endpoints.direct
        assert direct is not None
        async with JitoClient(lab.jito) as jito, RpcClient(direct.rpc) as rpc, asyncio.TaskGroup() as tasks:
            run = tasks.create_task(feed.run())
            await feed.live.wait()
            launcher = Launcher(lab.chain, LauncherConfig())
            for index in range(COINS):
                launcher.launch(script_coin(7, index, CoinPlan()))
            await eventually(lambda: len(pools) == COINS)
            buyer = Buyer(lab)
            sender = BundleSender(jito, rpc, clock=SystemClock(), poll_ms=20)
            before = buyer.stranger.lamports
            honest, greedy = pools[:-1], pools[-1]
            landing = [tasks.create_task(sender.land(bundle_of(buyer.buy(pool)))) for pool in honest]
            outcomes: list[BundleOutcome] = [await task for task in landing]
            spent = before - buyer.stranger.lamports
            failing = await sender.land(bundle_of(buyer.buy(greedy), buyer.doomed(10**18)))
            run.cancel()
        assert [type(outcome) for outcome in outcomes] == [BundleLanded] * len(honest)
        assert all(buyer.stranger.held(pool.mint).amount > 0 for pool in honest)
        assert spent > len(honest) * 20_000
        assert isinstance(failing, BundleFailed)
        assert before - buyer.stranger.lamports == spent, "the buy beside a doomed transaction cost nothing"
        assert lab.chain.account(buyer.stranger.accounts(greedy.mint).user_tokens) is None
        stats = await lab.call("slotzero_stats")
        assert stats["jito"]["tipsLamports"] == len(honest) * 20_000
