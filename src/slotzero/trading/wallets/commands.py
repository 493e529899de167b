"""What the wallet commands do, without a terminal: names and files in, records out."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.config import OrdersSettings
from slotzero.errors import SlotzeroError, UsageError
from slotzero.solana.transaction import Signer
from slotzero.trading.filters import Refusal
from slotzero.trading.order import Failed
from slotzero.trading.wallets.keyfiles import read_key_file
from slotzero.trading.wallets.keys import WalletKey
from slotzero.trading.wallets.keystore import (
    Keystore,
    KeystoreWallet,
    create_keystore,
    edit_keystore,
    keystore_path,
    open_keystore,
)
from slotzero.trading.wallets.passwords import PasswordSource, forbid_core_dumps
from slotzero.trading.wallets.session import WalletSession, wallet_session
from slotzero.trading.wallets.treasury import Moves, associated_candidates
from slotzero.units import Lamports

__all__ = ["ChainAddress", "Done", "KeystoreList", "WalletCommands"]

_NOTHING_DONE: Final = Moves(moves=())
_WRONG_USE: Final = frozenset(
    {"below_rent", "funds_itself", "named_twice", "no_wallet_there", "not_allowed", "sweeps_to_itself"}
)


class ChainAddress(Struct, frozen=True, kw_only=True):
    """Where an embedded chain is, and how transactions on it are followed."""

    rpc_url: str
    ws_url: str
    orders: OrdersSettings


class KeystoreList(Struct, frozen=True, kw_only=True):
    """What a keystore holds, as far as it may be shown."""

    wallets: tuple[KeystoreWallet, ...]
    allowed: tuple[Pubkey, ...]


class Done(Struct, frozen=True, kw_only=True):
    """What was moved for one wallet.

    Attributes:
        moves: Nothing, when there was nothing to do.
        airdropped_lamports: What the embedded chain's faucet paid.
    """

    wallet: KeystoreWallet
    moves: Moves = _NOTHING_DONE
    airdropped_lamports: Lamports = Lamports(0)


class WalletCommands:
    """The commands on one keystore.

    Args:
        keystore: Its file; None = the one among the user's data.
        password_file: Where the password is; None = ask on the terminal.
        from_environment: Whether to take the password from the environment instead.
    """

    def __init__(
        self, *, keystore: Path | None, password_file: Path | None = None, from_environment: bool = False
    ) -> None:
        self.path = keystore_path("") if keystore is None else keystore
        self._passwords = PasswordSource(file=password_file, from_environment=from_environment)
        forbid_core_dumps()

    # ---- the keystore alone ----------------------------------------------------------------------------------------

    def new(self, name: str | None) -> KeystoreWallet:
        """Make a wallet, and the keystore when there is none yet. *Does I/O.*"""
        return self._add(WalletKey.generate(), name)

    def import_key(self, file: Path, name: str | None) -> KeystoreWallet:
        """Take in the key of a file that another tool wrote; the file is left where it is. *Does I/O.*"""
        return self._add(read_key_file(file), name)

    def listed(self) -> KeystoreList:
        """Return what is in the keystore. *Does I/O.* The addresses are inside the box, hence the password."""
        with self._open() as keystore:
            return KeystoreList(wallets=keystore.wallets, allowed=keystore.allowed)

    def allow(self, address: str, *, is_removed: bool) -> Pubkey:
        """Put an address on the list of those that may be swept to, or take it off. *Does I/O.*"""
        key = _address(address)
        with edit_keystore(self._existing(), self._passwords.read()) as keystore:
            if is_removed:
                keystore.forbid(key)
            else:
                keystore.allow(key)
        return key

    # ---- on a chain ------------------------------------------------------------------------------------------------

    async def fund(
        self, chain: ChainAddress, names: Sequence[str], *, treasury: str | None, level_lamports: Lamports
    ) -> list[Done]:
        """Bring wallets up to `level_lamports`. *Does I/O.*

        Args:
            chain: Where.
            names: Which; none = all that are in use.
            treasury: The wallet that pays; None = the embedded chain's faucet.
            level_lamports: What each is to hold.

        Raises:
            SlotzeroError: It was refused, or did not land.
        """
        with self._open() as keystore:
            wallets = _chosen(keystore, names, without=treasury, is_retired_too=False)
            payer = None if treasury is None else keystore.wallet(treasury)
            async with _session(chain) as session:
                if payer is None:
                    return [await _airdrop(session, wallet, level_lamports) for wallet in wallets]
                moves = await session.treasury.fund(
                    keystore.signer(payer.name), [wallet.address for wallet in wallets], level_lamports=level_lamports
                )
                return [Done(wallet=payer, moves=_landed(moves))]

    async def sweep(self, chain: ChainAddress, to: str, names: Sequence[str], *, keep_lamports: Lamports) -> list[Done]:
        """Move what wallets hold to an allowed address. *Does I/O.*

        Args:
            chain: Where.
            to: An address on the keystore's list.
            names: Which wallets; none = all, retired ones too.
            keep_lamports: What stays in each.

        Raises:
            SlotzeroError: It was refused, or did not land.
        """
        target = _address(to)
        with self._open() as keystore:
            allowed = frozenset(keystore.allowed)
            if target not in allowed:
                raise UsageError(
                    f"{target} is not on the list of addresses that may be swept to; "
                    f"if it is yours, put it there with `slotzero wallet allow {target}`"
                )
            wallets = _chosen(keystore, names, without=None, is_retired_too=True)
            async with _session(chain) as session:
                done = []
                for wallet in wallets:
                    if not keep_lamports:
                        await _require_no_tokens(session, wallet)
                    signer = keystore.signer(wallet.name)
                    done.append(Done(wallet=wallet, moves=await _sweep(session, signer, target, keep_lamports)))
                return done

    async def rotate(self, chain: ChainAddress, name: str, new_name: str | None) -> tuple[KeystoreWallet, Done]:
        """Put a fresh wallet in the place of another: make it, retire the old one, move its SOL. *Does I/O.*

        The new key is on disk before any money moves. Called again after a crash, it moves what is left.

        Returns:
            The new wallet, and what was moved out of the old one.

        Raises:
            SlotzeroError: It was refused, or did not land.
        """
        with edit_keystore(self._existing(), self._passwords.read()) as keystore:
            old = keystore.wallet(name)
            if old.is_retired and old.successor is None:
                raise UsageError(f"{name} has been retired without a successor; there is nothing to rotate")
            async with _session(chain) as session:
                await _require_no_tokens(session, old)
                if old.successor is None:
                    key = WalletKey.generate()
                    fresh = keystore.add(new_name or keystore.free_name(), key)
                    key.wipe()
                    keystore.retire(name, fresh.name)
                    keystore.save()
                else:
                    fresh = keystore.wallet(old.successor)
                moves = await _sweep(session, keystore.signer(name), fresh.address, Lamports(0))
            return fresh, Done(wallet=keystore.wallet(name), moves=moves)

    async def reclaim(self, chain: ChainAddress, names: Sequence[str], mints: Sequence[str]) -> list[Done]:
        """Close the empty token accounts of wallets. *Does I/O.* Not while a bot trades with them.

        Args:
            chain: Where.
            names: Which wallets; none = all, retired ones too.
            mints: Whose accounts to look for; none = all accounts the chain knows.

        Raises:
            SlotzeroError: It was refused, or did not land.
        """
        keys = [_address(mint) for mint in mints]
        with self._open() as keystore:
            wallets = _chosen(keystore, names, without=None, is_retired_too=True)
            async with _session(chain) as session:
                done = []
                for wallet in wallets:
                    owner = wallet.address
                    accounts = associated_candidates(owner, keys) if keys else await session.token_accounts(owner)
                    moves = await session.treasury.reclaim(keystore.signer(wallet.name), accounts)
                    done.append(Done(wallet=wallet, moves=_landed(moves)))
                return done

    # ---- the keystore's file ---------------------------------------------------------------------------------------

    def _existing(self) -> Path:
        if not self.path.exists():
            raise UsageError(f"there is no keystore at {self.path}; `slotzero wallet new` makes one")
        return self.path

    def _open(self) -> Keystore:
        return open_keystore(self._existing(), self._passwords.read())

    def _add(self, key: WalletKey, name: str | None) -> KeystoreWallet:
        try:
            if self.path.exists():
                with edit_keystore(self.path, self._passwords.read()) as keystore:
                    return keystore.add(name or keystore.free_name(), key)
            first = name or "wallet-1"
            create_keystore(self.path, self._passwords.read(is_new=True), {first: key})
            return KeystoreWallet(name=first, address=key.address, is_retired=False, successor=None)
        finally:
            key.wipe()


@asynccontextmanager
async def _session(chain: ChainAddress) -> AsyncIterator[WalletSession]:
    async with wallet_session(chain.rpc_url, chain.ws_url, chain.orders) as session:
        yield session


def _address(text: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError:
        pass
    # What was typed is not shown: it may be a key in the wrong place.
    raise UsageError(f"expected an address of 32 bytes in base58, got a text of {len(text)} characters")


def _chosen(
    keystore: Keystore, names: Sequence[str], *, without: str | None, is_retired_too: bool
) -> list[KeystoreWallet]:
    """Return the wallets called `names`, or all; never the one called `without`."""
    if names:
        chosen = [keystore.wallet(name) for name in dict.fromkeys(names)]
    else:
        chosen = [wallet for wallet in keystore.wallets if is_retired_too or not wallet.is_retired]
        chosen = [wallet for wallet in chosen if wallet.name != without]
    if not chosen:
        raise UsageError("there is no wallet to do that with; `slotzero wallet new` makes one")
    return chosen


async def _airdrop(session: WalletSession, wallet: KeystoreWallet, level: Lamports) -> Done:
    (balance,) = await session.balances([wallet.address])
    missing = Lamports(max(0, level - balance))
    if missing:
        await session.request(wallet.address, missing)
    return Done(wallet=wallet, airdropped_lamports=missing)


async def _sweep(session: WalletSession, signer: Signer, to: Pubkey, keep: Lamports) -> Moves:
    moves = await session.treasury.sweep(signer, to, allowed=frozenset({to}), keep_lamports=keep)
    if isinstance(moves, Refusal) and moves.reason == "nothing_to_sweep":
        return _NOTHING_DONE
    return _landed(moves)


async def _require_no_tokens(session: WalletSession, wallet: KeystoreWallet) -> None:
    """Refuse to take the last SOL of a wallet that holds tokens: selling them needs some."""
    held = await session.tokens_held(wallet.address)
    if held:
        raise UsageError(
            f"{wallet.name} holds tokens in {held} accounts, and selling them takes SOL; sell them first, "
            "or sweep with --keep-lamports"
        )


def _landed(moves: Moves | Refusal) -> Moves:
    """Return what was done, or raise what was refused or did not land."""
    if isinstance(moves, Refusal):
        raise (UsageError if moves.reason in _WRONG_USE else SlotzeroError)(f"nothing was sent: {moves.detail}")
    if not moves.is_complete:
        last = moves.moves[-1]
        what = f"failed ({last.outcome.err})" if isinstance(last.outcome, Failed) else "expired"
        landed = len(moves.moves) - 1
        raise SlotzeroError(
            f"the transaction {last.signature} {what} after {landed} others had landed; run the command again, "
            "it does what is left"
        )
    return moves
