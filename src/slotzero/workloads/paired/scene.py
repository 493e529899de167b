"""The chain, the coin and the frames that the workloads share. Built once in a process, the same every time."""

import struct
from base64 import b64encode
from functools import lru_cache
from typing import Final

import msgspec
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.transaction import VersionedTransaction

from slotzero.detection.detector import Detector
from slotzero.localnet.chain import Chain, ChainConfig, Landed
from slotzero.secret import Secret
from slotzero.solana.transaction import RecentBlockhash, Signer, compute_budget
from slotzero.units import BlockHeight, ComputeUnits, Lamports, MicroLamportsPerCu, MonoNs
from slotzero.venues import pumpfun
from slotzero.venues.market import Market
from slotzero.venues.pumpfun.addresses import FEE_CONFIG, GLOBAL
from slotzero.venues.pumpfun.trader import PumpfunTrader
from slotzero.venues.records import NewPool
from slotzero.venues.registry import PUMPFUN

__all__ = [
    "COINS",
    "account_data",
    "account_frame",
    "blockhash",
    "chain",
    "coins",
    "creations",
    "market",
    "signer",
    "trader",
]

COINS: Final = 32
"""Coins, each with a mint of its own: address derivations take longer for some than for others."""
_CURVE_AT: Final = 8
_CURVE: Final = struct.Struct("<4Q")


@lru_cache(maxsize=1)
def chain() -> Chain:
    """Return the embedded chain; its slots stand still."""
    return Chain(ChainConfig(seed=7, slot_ms=0))


@lru_cache(maxsize=1)
def creations() -> tuple[bytes, ...]:
    """Create the coins and return the notifications a subscriber of their program gets."""
    world = chain()
    creator = Keypair.from_seed(b"creator of compared coins".ljust(32, b"."))
    world.airdrop(creator.pubkey(), Lamports(10**13))
    frames = []
    for number in range(COINS):
        mint = Keypair.from_seed(number.to_bytes(32, "little"))
        create = pumpfun.create_v2(
            user=creator.pubkey(),
            mint=mint.pubkey(),
            creator=creator.pubkey(),
            name=f"Compared coin {number}",
            symbol=f"C{number}",
            uri="https://ipfs.io/ipfs/bafkreicpd6lbavzzuyvcvy33grrmyoaz52sldtlfyjm3fnojmxho737oqq",
        )
        steps = [*compute_budget(ComputeUnits(300_000), MicroLamportsPerCu(1_000)), create]
        message = MessageV0.try_compile(creator.pubkey(), steps, [], world.block.blockhash)
        landed = world.submit(bytes(VersionedTransaction(message, [creator, mint])))
        assert isinstance(landed, Landed), landed
        assert landed.record.err is None, landed.record.err
        value = {"signature": str(landed.record.signature), "err": None, "logs": landed.record.metadata.logs()}
        context = {"slot": landed.record.slot, "monoNs": landed.record.mono_ns}
        params = {"result": {"context": context, "value": value}, "subscription": 1}
        frames.append(msgspec.json.encode({"jsonrpc": "2.0", "method": "logsNotification", "params": params}))
    return tuple(frames)


@lru_cache(maxsize=1)
def coins() -> tuple[NewPool, ...]:
    """Return the coins as the detector tells of them."""
    detector = Detector([PUMPFUN])
    return tuple(pool for frame in creations() for pool in detector.on_frame(frame, MonoNs(0)))


@lru_cache(maxsize=1)
def signer() -> Signer:
    """Return our wallet."""
    return Signer(Secret(bytes(range(32))))


@lru_cache(maxsize=1)
def trader() -> PumpfunTrader:
    """Return the venue for our wallet, configured from the chain."""
    made = PumpfunTrader(signer().pubkey)
    accounts = [chain().account(at) for at in (GLOBAL, FEE_CONFIG)]
    made.configure([None if account is None else account.data for account in accounts])
    return made


def market(number: int = 0) -> Market:
    """Return our wallet's trades in one of the coins."""
    return trader().market(coins()[number])


def blockhash() -> RecentBlockhash:
    """Return what transactions are signed over."""
    return RecentBlockhash(hash=chain().block.blockhash, last_valid_block_height=BlockHeight(150))


def account_data(pool: NewPool, *, bought: Lamports) -> bytes:
    """Return the bytes of a coin's account after so many lamports were put in, along its constant product.

    The account is the chain's own, with the four reserves moved.
    """
    account = chain().account(pool.pool)
    assert account is not None
    data = bytearray(account.data)
    token, quote, real_token, real_quote = _CURVE.unpack_from(data, _CURVE_AT)
    left = token * quote // (quote + bought)
    _CURVE.pack_into(data, _CURVE_AT, left, quote + bought, real_token - (token - left), real_quote + bought)
    return bytes(data)


def account_frame(pool: NewPool, *, bought: Lamports, slot: int) -> bytes:
    """Return the notification of a coin's account after so many lamports were put in."""
    data = account_data(pool, bought=bought)
    value = {
        "lamports": 10**9 + bought,
        "data": [b64encode(data).decode(), "base64"],
        "owner": str(pumpfun.PUMP_PROGRAM),
        "executable": False,
        "rentEpoch": 2**64 - 1,
        "space": len(data),
    }
    params = {"result": {"context": {"slot": slot}, "value": value}, "subscription": 1}
    return msgspec.json.encode({"jsonrpc": "2.0", "method": "accountNotification", "params": params})
