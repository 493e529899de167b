from collections.abc import Awaitable, Sequence

import pytest
from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from slotzero.solana.addresses import SYSTEM_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.rpc import AccountInfo, Commitment
from slotzero.solana.transaction import RecentBlockhash, SignedTransaction, sign
from slotzero.trading.filters import Refusal
from slotzero.trading.order import Confirmed, Expired, Failed, Outcome
from slotzero.trading.wallets import Moves, Planned, Treasury, WrongSignatureError, associated_candidates, sign_with
from slotzero.units import BlockHeight, Lamports, Slot
from wallet_lab import address, wallet_key

SOL = 1_000_000_000
RECENT = RecentBlockhash(hash=Hash.default(), last_valid_block_height=BlockHeight(150))


class FakeChain:
    """Accounts, and a desk that answers as told and notes what it was given."""

    def __init__(self, outcomes: Sequence[Outcome] = ()) -> None:
        self.accounts: dict[Pubkey, AccountInfo] = {}
        self.outcomes = list(outcomes)
        self.log: list[str] = []

    def hold(self, number: int, lamports: int, owner: Pubkey = SYSTEM_PROGRAM) -> None:
        self.accounts[address(number)] = AccountInfo(
            lamports=Lamports(lamports), owner=owner, data=b"", executable=False
        )

    async def get_minimum_balance(self, size: int) -> Lamports:
        assert size == 0
        return Lamports(890_880)

    async def get_multiple_accounts(self, keys: Sequence[Pubkey], commitment: Commitment) -> list[AccountInfo | None]:
        assert len(keys) <= 100
        assert commitment == "confirmed"
        self.log.append(f"read {len(keys)}")
        return [self.accounts.get(key) for key in keys]

    async def wait_current(self) -> RecentBlockhash:
        return RECENT

    async def execute(self, signed: SignedTransaction) -> Outcome:
        VersionedTransaction.from_bytes(signed.raw).verify_and_hash_message()
        self.log.append("sent")
        return self.outcomes.pop(0) if self.outcomes else Confirmed(Slot(1))


class FarSigner:
    """A signer that has to be awaited."""

    def __init__(self, number: int, *, lies: bytes | None = None) -> None:
        self._signer = wallet_key(number).signer()
        self._lies = lies
        self.pubkey = self._signer.pubkey

    def sign(self, message: bytes) -> Awaitable[bytes]:
        async def answer() -> bytes:
            return self._signer.sign(message) if self._lies is None else self._lies

        return answer()


def treasury(chain: FakeChain) -> Treasury:
    async def written(planned: Planned, signed: SignedTransaction) -> None:
        assert planned.payer == VersionedTransaction.from_bytes(signed.raw).message.account_keys[0]
        chain.log.append("written")

    return Treasury(chain, chain, chain, on_signed=written)


async def test_near_and_far_signers_make_the_same_transaction() -> None:
    near, far = wallet_key(1).signer(), FarSigner(1)
    plain = sign(near, [], RECENT)
    assert await sign_with(near, [], RECENT) == plain
    assert await sign_with(far, [], RECENT) == plain


@pytest.mark.parametrize("lies", [bytes(64), b"", wallet_key(1).signer().sign(b"something else")])
async def test_wrong_signature_is_not_sent(lies: bytes) -> None:
    chain = FakeChain()
    chain.hold(1, SOL)
    with pytest.raises(WrongSignatureError, match="something else than a signature"):
        await treasury(chain).sweep(FarSigner(1, lies=lies), address(2), allowed={address(2)})
    assert chain.log == ["read 2"]


async def test_fund_writes_down_then_sends() -> None:
    chain = FakeChain()
    chain.hold(1, 9 * SOL)
    chain.hold(3, SOL // 2)
    done = await treasury(chain).fund(FarSigner(1), [address(2), address(3)], level_lamports=Lamports(SOL))
    assert isinstance(done, Moves)
    assert done.is_complete
    assert (done.moved_lamports, done.fee_lamports) == (SOL + SOL // 2, 5_000)
    assert chain.log == ["read 3", "written", "sent"]


async def test_series_ends_with_the_first_that_does_not_land() -> None:
    chain = FakeChain([Confirmed(Slot(1)), Failed(Slot(2), {"InstructionError": [2, "Custom"]}), Confirmed(Slot(3))])
    chain.hold(1, 900 * SOL)
    wallets = [address(number) for number in range(2, 90)]
    done = await treasury(chain).fund(wallet_key(1).signer(), wallets, level_lamports=Lamports(SOL))
    assert isinstance(done, Moves)
    assert not done.is_complete
    assert [move.has_landed for move in done.moves] == [True, False]
    assert len(done.unsent) >= 1
    assert done.moved_lamports == len(done.moves[0].planned.touches) * SOL
    touched = [a for p in [*(move.planned for move in done.moves), *done.unsent] for a in p.touches]
    assert touched == wallets


async def test_sweep_off_the_list_is_refused_before_anything_is_read() -> None:
    chain = FakeChain()
    chain.hold(1, SOL)
    outcome = await treasury(chain).sweep(wallet_key(1).signer(), address(2), allowed=frozenset())
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "not_allowed"
    assert chain.log == []


async def test_sweep_that_expired_is_told() -> None:
    chain = FakeChain([Expired()])
    chain.hold(1, SOL)
    done = await treasury(chain).sweep(wallet_key(1).signer(), address(2), allowed={address(2)})
    assert isinstance(done, Moves)
    assert not done.is_complete
    assert done.moved_lamports == done.fee_lamports == 0


async def test_account_that_is_no_wallet_pays_nothing() -> None:
    chain = FakeChain()
    chain.hold(1, SOL, owner=TOKEN_PROGRAM)
    outcome = await treasury(chain).sweep(wallet_key(1).signer(), address(2), allowed={address(2)})
    assert isinstance(outcome, Refusal)
    assert outcome.reason == "nothing_to_sweep"


async def test_reclaim_reads_in_hundreds_and_looks_at_each_once() -> None:
    chain = FakeChain()
    chain.hold(1, SOL)
    candidates = associated_candidates(address(1), [address(number) for number in range(2, 102)])
    assert len(set(candidates)) == 200
    done = await treasury(chain).reclaim(wallet_key(1).signer(), candidates * 2)
    assert done == Moves(moves=())
    assert chain.log == ["read 100", "read 100", "read 1"]
