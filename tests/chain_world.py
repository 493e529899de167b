"""A chain whose slots only open when told, with wallets, mints and the token instructions that move accounts about."""

import struct

import msgspec
from solders.account import Account
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from slotzero.clock import TestClock
from slotzero.localnet.chain import Chain, ChainConfig, Landed, Submission
from slotzero.localnet.faults import Faults
from slotzero.localnet.history import TransactionRecord
from slotzero.localnet.node import Node
from slotzero.localnet.rpc import Rpc
from slotzero.solana.addresses import (
    ATA_PROGRAM,
    SYSTEM_PROGRAM,
    TOKEN_2022_PROGRAM,
    TOKEN_PROGRAM,
    associated_token_address,
)

SOL = 1_000_000_000
SUPPLY = 10**12
WALLETS = [Keypair.from_seed(bytes([1, number]).ljust(32, b"\0")) for number in range(4)]
MINTS = {
    Keypair.from_seed(bytes([2, number]).ljust(32, b"\0")).pubkey(): program
    for number, program in enumerate([TOKEN_PROGRAM, TOKEN_2022_PROGRAM, TOKEN_PROGRAM])
}
MINT, MINT_2022, OTHER_MINT = MINTS


def mint_account(program: Pubkey) -> Account:
    """A mint of 6 decimals."""
    return Account(SOL, struct.pack("<I32sQBBI32s", 0, b"", SUPPLY, 6, 1, 0, b""), program)


def token_account(mint: Pubkey, owner: Pubkey, amount: int, program: Pubkey | None = None) -> Account:
    """A token account as its program would have made it."""
    data = struct.pack("<32s32sQI32sBIQQI32s", bytes(mint), bytes(owner), amount, 0, b"", 1, 0, 0, 0, 0, b"")
    return Account(SOL, data, program or MINTS[mint])


class World:
    """The chain, and short ways to do things on it."""

    def __init__(self, *, history: int = 20_000) -> None:
        self.chain = Chain(ChainConfig(history=history), clock=TestClock())
        self.faults = Faults("first", 7)
        self.rpc = Rpc(Node(chain=self.chain, faults=self.faults))
        for wallet in WALLETS:
            self.chain.set_account(wallet.pubkey(), Account(1_000 * SOL, b"", SYSTEM_PROGRAM))
        for mint, program in MINTS.items():
            self.chain.set_account(mint, mint_account(program))

    def signed(self, *steps: Instruction, by: Keypair = WALLETS[0], blockhash: Hash | None = None) -> bytes:
        """Return the bytes of a transaction."""
        message = MessageV0.try_compile(by.pubkey(), list(steps), [], blockhash or self.chain.block.blockhash)
        return bytes(VersionedTransaction(message, [by]))

    def send(self, *steps: Instruction, by: Keypair = WALLETS[0], blockhash: Hash | None = None) -> Submission:
        """Submit a transaction without a preflight."""
        return self.chain.submit(self.signed(*steps, by=by, blockhash=blockhash))

    def land(self, *steps: Instruction, by: Keypair = WALLETS[0], blockhash: Hash | None = None) -> TransactionRecord:
        """Submit a transaction that lands."""
        outcome = self.send(*steps, by=by, blockhash=blockhash)
        assert isinstance(outcome, Landed), outcome
        return outcome.record

    def call(self, method: str, *params: object) -> object:
        """Return the result of an RPC call, or its error object."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = msgspec.json.decode(self.rpc.handle(msgspec.json.encode(request)), type=dict[str, object])
        return answer.get("result", answer.get("error"))

    def value(self, method: str, *params: object) -> list[dict[str, object]]:
        """Return the rows of an RPC call that answers with a context."""
        result = self.call(method, *params)
        assert isinstance(result, dict)
        assert "value" in result, result
        value = result["value"]
        assert isinstance(value, list)
        return value


def pay(to: Pubkey, lamports: int = SOL, by: Keypair = WALLETS[0]) -> Instruction:
    """A transfer of lamports."""
    return transfer(TransferParams(from_pubkey=by.pubkey(), to_pubkey=to, lamports=lamports))


def home(owner: Pubkey, mint: Pubkey) -> Pubkey:
    """The associated token account."""
    return associated_token_address(owner, mint, MINTS[mint])


def open_home(by: Keypair, mint: Pubkey) -> Instruction:
    """Create the associated token account unless it is there."""
    owner, program = by.pubkey(), MINTS[mint]
    metas = [(owner, True), (home(owner, mint), True), (owner, False), (mint, False), (SYSTEM_PROGRAM, False)]
    accounts = [AccountMeta(key, key == owner, writable) for key, writable in [*metas, (program, False)]]
    return Instruction(ATA_PROGRAM, b"\1", accounts)


def move(by: Keypair, mint: Pubkey, to: Pubkey, amount: int) -> Instruction:
    """Move tokens out of the associated account."""
    data = b"\3" + amount.to_bytes(8, "little")
    return _token(by, mint, data, to)


def close(by: Keypair, mint: Pubkey) -> Instruction:
    """Close the associated account, which must be empty."""
    return _token(by, mint, b"\t", by.pubkey())


def give_away(by: Keypair, mint: Pubkey, to: Pubkey) -> Instruction:
    """Make somebody else the owner of the associated account (which Token-2022 refuses)."""
    data = bytes([6, 2, 1]) + bytes(to)
    account = AccountMeta(home(by.pubkey(), mint), is_signer=False, is_writable=True)
    return Instruction(MINTS[mint], data, [account, AccountMeta(by.pubkey(), is_signer=True, is_writable=False)])


def _token(by: Keypair, mint: Pubkey, data: bytes, second: Pubkey) -> Instruction:
    accounts = [
        AccountMeta(home(by.pubkey(), mint), is_signer=False, is_writable=True),
        AccountMeta(second, is_signer=False, is_writable=True),
        AccountMeta(by.pubkey(), is_signer=True, is_writable=False),
    ]
    return Instruction(MINTS[mint], data, accounts)
