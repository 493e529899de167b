"""Bundles over the block engine's port, through our sender and as a stranger would send them."""

import asyncio
import base64
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from solders.keypair import Keypair

from chain_world import SOL, pay
from slotzero.clock import SystemClock
from slotzero.errors import RateLimitedError, RpcError, TransportError
from slotzero.localnet.chain import ChainConfig
from slotzero.solana.base58 import base58_encode
from slotzero.solana.jito import Bundle, BundleFailed, BundleLanded, BundleSender, BundleUnknown, JitoClient, bundle_of
from slotzero.solana.rpc import RpcClient
from slotzero.solana.tips import TIP_ACCOUNTS, tip_instruction
from slotzero.solana.transaction import SignedTransaction
from slotzero.units import BlockHeight, Lamports
from wire_lab import ALL_PORTS, WireLab, wire_lab

FAST = ChainConfig(slot_ms=20)


class Desk:
    """A lab, a client of its block engine, and a sender that asks the direct port."""

    def __init__(self, lab: WireLab, jito: JitoClient, rpc: RpcClient) -> None:
        self.lab = lab
        self.jito = jito
        self.rpc = rpc
        self.sender = BundleSender(jito, rpc, clock=SystemClock(), poll_ms=10)
        self.to = Keypair().pubkey()

    def tipped(self, lamports: int, *, tip: int = 10_000) -> SignedTransaction:
        """A transfer with its tip, as a buy would carry it."""
        payer = self.lab.payer
        return self.lab.signed(pay(self.to, lamports, payer), tip_instruction(payer.pubkey(), Lamports(tip), lamports))

    async def balance(self) -> int:
        return await self.rpc.get_balance(self.to, "processed")


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    # Without the Geyser port: grpc.aio wants one loop for all tests, these have one each.
    async with wire_lab(ALL_PORTS, geyser_port=None, chain=FAST) as lab:
        assert lab.localnet.endpoints.direct is not None
        async with JitoClient(lab.jito) as jito, RpcClient(lab.localnet.endpoints.direct.rpc) as rpc:
            yield Desk(lab, jito, rpc)


async def test_bundle_lands_as_a_whole(desk: Desk) -> None:
    bundle = bundle_of(desk.tipped(SOL), desk.lab.signed(pay(desk.to, 2 * SOL, desk.lab.payer)))
    outcome = await desk.sender.land(bundle)
    assert isinstance(outcome, BundleLanded), outcome
    statuses = await desk.rpc.get_signature_statuses(bundle.signatures)
    assert [status and (status.slot, status.err) for status in statuses] == [(outcome.slot, None)] * 2
    assert await desk.balance() == 3 * SOL
    assert await desk.jito.inflight_statuses([bundle.id]) == {bundle.id: "Landed"}
    _, _, answer = await desk.lab.post(
        f"{desk.lab.jito}/api/v1/getBundleStatuses", "getBundleStatuses", [bundle.id, "unknown"]
    )
    row, unknown = answer["result"]["value"]
    assert (row["bundle_id"], row["transactions"], row["slot"]) == (bundle.id, list(bundle.signatures), outcome.slot)
    assert (row["confirmation_status"], row["err"], unknown) == ("confirmed", {"Ok": None}, None)


async def test_bundle_whose_second_transaction_fails_leaves_nothing_on_the_chain(desk: Desk) -> None:
    payer = desk.lab.payer.pubkey()
    before = await desk.rpc.get_balance(payer, "processed")
    bundle = bundle_of(desk.tipped(SOL), desk.lab.signed(pay(desk.to, 10**18, desk.lab.payer)))
    outcome = await desk.sender.land(bundle)
    assert isinstance(outcome, BundleFailed), outcome
    # The engine gave it up; nobody promises before the blockhash has expired.
    assert (outcome.reason, outcome.is_final) == ("the block engine has dropped it", False)
    assert await desk.balance() == 0
    assert await desk.rpc.get_balance(payer, "processed") == before
    assert await desk.rpc.get_signature_statuses(bundle.signatures, search_history=True) == [None, None]


async def test_lost_bundle_fails_for_good_when_it_has_expired(desk: Desk) -> None:
    await desk.lab.call("slotzero_faults", "jito", {"dropSends": {"next": 1}})
    bundle = bundle_of(desk.tipped(SOL))
    landing = asyncio.gather(desk.sender.land(bundle))
    while not (await desk.lab.injected("jito"))["droppedSends"]:
        pass
    assert await desk.jito.inflight_statuses([bundle.id]) == {bundle.id: "Pending"}
    await desk.lab.call("slotzero_advance", 152)
    (outcome,) = await landing
    assert isinstance(outcome, BundleFailed)
    assert outcome.is_final
    assert await desk.balance() == 0


async def test_refusal_before_anything_was_taken_is_final(desk: Desk) -> None:
    untipped = desk.lab.signed(pay(desk.to, SOL, desk.lab.payer))
    outcome = await desk.sender.land(bundle_of(untipped))
    assert isinstance(outcome, BundleFailed)
    assert "write lock at least one tip account" in outcome.reason
    assert outcome.is_final


async def test_rate_limit_is_waited_out_and_the_bundle_still_lands(desk: Desk) -> None:
    await desk.lab.call("slotzero_faults", "jito", {"http429": {"next": 1, "retryAfterS": 0}})
    with pytest.raises(RateLimitedError):
        await desk.jito.tip_accounts()
    assert await desk.jito.tip_accounts() == list(TIP_ACCOUNTS)
    await desk.lab.call("slotzero_faults", "jito", {"http429": {"next": 1, "retryAfterS": 1}})
    assert isinstance(await desk.sender.land(bundle_of(desk.tipped(SOL))), BundleLanded)
    assert (await desk.lab.injected("jito"))["http429"] == 2


async def test_chain_that_cannot_be_asked_makes_the_outcome_unknown(desk: Desk) -> None:
    async with RpcClient("http://127.0.0.1:1") as nobody:
        sender = BundleSender(desk.jito, nobody, clock=SystemClock(), poll_ms=5, give_up_ms=40)
        outcome = await sender.land(bundle_of(desk.tipped(SOL)))
    assert isinstance(outcome, BundleUnknown)
    while await desk.balance() != SOL:  # and it does land
        pass


async def test_single_transaction_with_revert_protection(desk: Desk) -> None:
    signed = desk.tipped(SOL)
    assert await desk.jito.send_transaction(signed.raw) == signed.signature
    while await desk.balance() != SOL:
        pass
    # One that would fail costs nothing as a bundle, and its fee otherwise.
    payer = desk.lab.payer.pubkey()
    before = await desk.rpc.get_balance(payer, "processed")
    await desk.jito.send_transaction(desk.tipped(10**18).raw)
    while (await desk.lab.call("slotzero_stats"))["jito"]["failed"] != {"InstructionError": 1}:
        pass
    assert await desk.rpc.get_balance(payer, "processed") == before
    await desk.jito.send_transaction(desk.tipped(10**18 + 1).raw, bundle_only=False)
    assert await desk.rpc.get_balance(payer, "processed") == before - 5_000


async def test_strangers_forms_of_a_request_are_understood(desk: Desk) -> None:
    url = f"{desk.lab.jito}/api/v1/bundles"
    signed = desk.tipped(SOL)
    # base58 when nothing is said, statuses under the same path, as older clients have it.
    _, _, answer = await desk.lab.post(url, "sendBundle", [base58_encode(signed.raw)])
    assert answer["result"] == bundle_of(signed).id
    _, _, answer = await desk.lab.post(url, "getInflightBundleStatuses", [answer["result"]])
    assert answer["result"]["value"][0]["status"] in ("Pending", "Landed")
    single = desk.tipped(2 * SOL)
    text = base64.b64encode(single.raw).decode()
    _, headers, answer = await desk.lab.post(
        f"{desk.lab.jito}/api/v1/transactions?bundleOnly=true", "sendTransaction", text, {"encoding": "base64"}
    )
    assert (answer["result"], headers["x-bundle-id"]) == (single.signature, bundle_of(single).id)
    untipped = base64.b64encode(desk.lab.signed(pay(desk.to, 1, desk.lab.payer)).raw).decode()
    _, headers, answer = await desk.lab.post(
        f"{desk.lab.jito}/api/v1/transactions?bundleOnly=true", "sendTransaction", untipped, {"encoding": "base64"}
    )
    assert answer["error"]["code"] == -32602
    assert "x-bundle-id" not in headers
    for path, method in (("bundles", "sendTransaction"), ("transactions", "sendBundle")):
        _, _, answer = await desk.lab.post(f"{desk.lab.jito}/api/v1/{path}", method, [])
        assert answer["error"]["code"] == -32601
    request = {"jsonrpc": "2.0", "id": 1, "method": "getTipAccounts"}
    async with desk.lab.http.post(f"{desk.lab.jito}/nowhere", json=request) as response:
        assert response.status == 404
    for params in ([["!"]], [[5]], [5], [[text] * 6]):
        _, _, answer = await desk.lab.post(url, "sendBundle", *params)
        assert answer["error"]["code"] == -32602


async def test_engine_errors_are_of_our_tree(desk: Desk) -> None:
    signed = desk.tipped(SOL)
    await desk.jito.send_bundle(bundle_of(signed))
    while await desk.balance() != SOL:
        pass
    with pytest.raises(RpcError, match="already processed"):
        await desk.jito.send_bundle(bundle_of(signed))
    async with JitoClient("http://127.0.0.1:1") as nobody:
        with pytest.raises(TransportError):
            await nobody.send_bundle(bundle_of(signed))


def test_bundle_of_holds_one_to_five_and_expires_with_the_first() -> None:
    signed = [
        SignedTransaction(raw=b"", signature=f"s{number}", last_valid_block_height=BlockHeight(100 - number))
        for number in range(6)
    ]
    bundle = bundle_of(*signed[:5])
    assert isinstance(bundle, Bundle)
    assert (bundle.expires, len(bundle.id)) == (96, 64)
    for wrong in ((), signed):
        with pytest.raises(ValueError, match="1 to 5"):
            bundle_of(*wrong)
