"""Rewrite a coin that has just been launched, so that it robs its buyers by the token program's own rules."""

from collections.abc import Iterable
from typing import Final

from solders.account import Account
from solders.pubkey import Pubkey

from slotzero.localnet.chain import Chain
from slotzero.localnet.mint_surgery import (
    account_with_transfer_fee_amount,
    mint_with_freeze_authority,
    mint_with_transfer_fee,
)
from slotzero.units import BasisPoints

__all__ = ["TRAP_FEE_BPS", "set_freeze_trap", "set_trap_fee"]

TRAP_FEE_BPS: Final = BasisPoints(9_000)


def set_freeze_trap(chain: Chain, mint: Pubkey, authority: Pubkey) -> None:
    """Let `authority` freeze the mint's holders, in the same turn of the loop as the creation."""
    account = _existing(chain, mint)
    _rewrite(chain, mint, account, mint_with_freeze_authority(account.data, account.owner, authority))


def set_trap_fee(chain: Chain, mint: Pubkey, token_accounts: Iterable[Pubkey], authority: Pubkey) -> None:
    """Let each transfer of the mint withhold nine tenths, in the same turn of the loop as the creation.

    Args:
        chain: Where.
        mint: The coin.
        token_accounts: Those that exist by now and shall be able to receive the token: the curve's, the creator's.
        authority: Who may change the fee and collect it.
    """
    account = _existing(chain, mint)
    _rewrite(chain, mint, account, mint_with_transfer_fee(account.data, authority, transfer_fee_bps=TRAP_FEE_BPS))
    for key in token_accounts:
        account = _existing(chain, key)
        _rewrite(chain, key, account, account_with_transfer_fee_amount(account.data))


def _existing(chain: Chain, key: Pubkey) -> Account:
    account = chain.account(key)
    assert account is not None, f"the coin's account {key} exists since its creation"
    return account


def _rewrite(chain: Chain, key: Pubkey, account: Account, data: bytes) -> None:
    lamports = max(account.lamports, chain.svm.rent_exempt_minimum(len(data)))
    chain.set_account(key, Account(lamports, data, account.owner))
