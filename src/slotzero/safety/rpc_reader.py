"""The chain as a check asks for it, over JSON-RPC: the shell of `reader`."""

from base64 import b64decode
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.errors import MalformedError
from slotzero.safety.reader import AccountView, SignatureView, SimulationView
from slotzero.solana.rpc import AccountInfo, Rpc
from slotzero.units import Lamports, Slot

__all__ = ["RpcReader"]

_COMMITMENT: Final = "processed"


class _Holding(Struct):
    address: str


class _Holdings(Struct):
    value: list[_Holding]


class _Account(Struct):
    lamports: int
    owner: str
    data: tuple[str, str]
    executable: bool


class _Owned(Struct):
    account: _Account


class _OwnedAccounts(Struct):
    value: list[_Owned]


class _Signature(Struct, frozen=True):
    signature: str
    slot: Slot
    err: Any = None  # a JSON value on the wire


class RpcReader:
    """Reads for safety checks; each call is counted under the purpose "safety".

    Args:
        rpc: Who is asked.
    """

    def __init__(self, rpc: Rpc) -> None:
        self._rpc = rpc

    async def accounts(self, keys: Sequence[Pubkey]) -> Sequence[AccountView | None]:
        """Return the accounts of `keys` in their order, all from one slot, in one call."""
        return await self._rpc.get_multiple_accounts(keys, _COMMITMENT, purpose="safety")

    async def simulate(self, raw: bytes, watch: Sequence[Pubkey]) -> SimulationView:
        """Run `raw` without landing it, in one call."""
        return await self._rpc.simulate(raw, watch, _COMMITMENT, purpose="safety")

    async def largest_accounts(self, mint: Pubkey) -> Sequence[Pubkey]:
        """Return the largest token accounts of `mint`, at most 20, in one call."""
        params = [str(mint), {"commitment": _COMMITMENT}]
        reply = await self._rpc._call("getTokenLargestAccounts", params, _Holdings, "safety")  # noqa: SLF001 one user
        try:
            return [Pubkey.from_string(holding.address) for holding in reply.value]
        except ValueError as error:
            raise MalformedError(f"getTokenLargestAccounts answered with something else: {error}") from error

    async def token_accounts(self, owner: Pubkey, token_program: Pubkey) -> Sequence[AccountInfo]:
        """Return the token accounts of `owner` that belong to one of the token programs, in one call."""
        params = [
            str(owner),
            {"programId": str(token_program)},
            {"commitment": _COMMITMENT, "encoding": "base64"},
        ]
        reply = await self._rpc._call("getTokenAccountsByOwner", params, _OwnedAccounts, "safety")  # noqa: SLF001 one user
        try:
            return [_account(row.account) for row in reply.value]
        except ValueError as error:
            raise MalformedError(f"getTokenAccountsByOwner answered with something else: {error}") from error

    async def signatures(self, key: Pubkey, most: int) -> Sequence[SignatureView]:
        """Return the newest confirmed transactions that mention `key`, newest first, in one call."""
        params = [str(key), {"commitment": "confirmed", "limit": most}]
        return await self._rpc._call("getSignaturesForAddress", params, list[_Signature], "safety")  # noqa: SLF001 one user


def _account(account: _Account) -> AccountInfo:
    return AccountInfo(
        lamports=Lamports(account.lamports),
        owner=Pubkey.from_string(account.owner),
        data=b64decode(account.data[0], validate=True),
        executable=account.executable,
    )
