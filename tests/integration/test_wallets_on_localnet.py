"""The wallet commands on an embedded chain: every lamport is accounted for."""

import struct
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from solders.pubkey import Pubkey

from slotzero.localnet.endpoints import LocalnetEndpoints
from slotzero.localnet.process import running_localnet
from slotzero.secret import Secret
from slotzero.solana.addresses import TOKEN_2022_PROGRAM, TOKEN_PROGRAM
from slotzero.solana.instructions import close_token_account
from slotzero.solana.rpc import RpcClient
from slotzero.solana.transaction import sign
from slotzero.trading.wallets import open_keystore
from slotzero.units import Lamports
from wallet_lab import (
    PASSWORD,
    address,
    call_wallet,
    extension,
    new_keystore,
    password_file,
    run_wallet,
    token_data,
    wallet_key,
)

in_module_loop = pytest.mark.asyncio(loop_scope="module")
SOL = 1_000_000_000
FEE = 5_000


class Bench:
    """A running chain, and a keystore whose commands go to it."""

    def __init__(self, endpoints: LocalnetEndpoints, rpc: RpcClient, http: aiohttp.ClientSession, folder: Path) -> None:
        self.rpc = rpc
        self._http = http
        self._url = endpoints.rpc
        self._folder = folder
        self._port = endpoints.rpc.rsplit(":", 1)[1].strip("/")

    def keystore(self, *numbers: int) -> Path:
        self._options = [
            *("--keystore", str(new_keystore(self._folder, *numbers))),
            *("--password-file", str(password_file(self._folder))),
        ]
        return Path(self._options[1])

    async def run(self, command: str, *arguments: str, expect: int = 0) -> str:
        on_chain = ["--port", self._port] if command not in ("allow", "list", "new") else []
        done = await call_wallet(command, *arguments, *self._options, *on_chain)
        assert done.returncode == expect, done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout if expect == 0 else done.stderr

    async def balance(self, number: int) -> int:
        return await self.rpc.get_balance(address(number), "confirmed")

    async def admin(self, method: str, *params: object) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        async with self._http.post(self._url, json=body) as response:
            answer = await response.json()
        assert "error" not in answer, answer
        return answer["result"]

    async def plant(self, key: Pubkey, program: Pubkey, data: bytes) -> Lamports:
        """Write a token account and return its rent."""
        rent = await self.rpc.get_minimum_balance(len(data))
        fields = {"lamports": rent, "owner": str(program), "data": b64encode(data).decode()}
        await self.admin("slotzero_setAccount", str(key), fields)
        return rent

    async def settle(self) -> None:
        """Let what was written be confirmed."""
        await self.admin("slotzero_advance", 5)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def endpoints() -> AsyncIterator[LocalnetEndpoints]:
    async with running_localnet(slot_ms=20, seed=11) as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def bench(endpoints: LocalnetEndpoints, tmp_path: Path) -> AsyncIterator[Bench]:
    async with RpcClient(endpoints.rpc) as rpc, aiohttp.ClientSession() as http:
        yield Bench(endpoints, rpc, http, tmp_path)


@in_module_loop
async def test_two_wallets_are_funded_from_a_treasury_and_swept_to_the_lamport(bench: Bench) -> None:
    bench.keystore(11, 12, 13)
    cold = address(19)
    await bench.run("fund", "w11", "--lamports", str(10 * SOL))
    assert await bench.balance(11) == 10 * SOL
    said = await bench.run("fund", "--from", "w11", "--lamports", str(2 * SOL))
    assert f"w11  {address(11)}  paid 4.000000000 SOL, fees 0.000005000" in said
    assert [await bench.balance(n) for n in (11, 12, 13)] == [6 * SOL - FEE, 2 * SOL, 2 * SOL]
    assert "nothing to do" in await bench.run("fund", "--from", "w11", "--lamports", str(2 * SOL))

    refusal = await bench.run("sweep", str(cold), "w12", expect=2)
    assert f"{cold} is not on the list" in refusal
    assert await bench.balance(12) == 2 * SOL
    await bench.run("allow", str(cold))
    await bench.run("sweep", str(cold), "w12", "w13", "--keep-lamports", str(SOL))
    assert [await bench.balance(n) for n in (12, 13, 19)] == [SOL, SOL, 2 * SOL - 2 * FEE]
    await bench.run("sweep", str(cold))
    assert [await bench.balance(n) for n in (11, 12, 13)] == [0, 0, 0]
    assert await bench.balance(19) == 10 * SOL - 6 * FEE
    assert "nothing to do" in await bench.run("sweep", str(cold))


@in_module_loop
async def test_rent_of_empty_accounts_comes_back_to_the_lamport(bench: Bench) -> None:
    bench.keystore(21)
    owner = address(21)
    await bench.run("fund", "--lamports", str(SOL))
    withheld = extension(7, b"") + extension(2, struct.pack("<Q", 3))
    closable = [
        *((TOKEN_PROGRAM, token_data(owner, mint=address(1_000 + n))) for n in range(30)),
        *((TOKEN_2022_PROGRAM, token_data(owner, mint=address(2_000 + n))) for n in range(5)),
        *(
            (TOKEN_2022_PROGRAM, token_data(owner, mint=address(3_000 + n), extensions=extension(7, b"")))
            for n in range(30)
        ),
        (TOKEN_2022_PROGRAM, token_data(owner, extensions=extension(7, b"") + extension(2, bytes(8)))),
        (TOKEN_PROGRAM, token_data(owner, state=2)),
        (TOKEN_2022_PROGRAM, token_data(owner, state=2)),
    ]
    left = [
        (TOKEN_PROGRAM, token_data(owner, amount=1)),
        (TOKEN_2022_PROGRAM, token_data(owner, amount=1)),
        (TOKEN_2022_PROGRAM, token_data(owner, extensions=withheld)),
    ]
    rents = [await bench.plant(address(30_000 + n), *account) for n, account in enumerate(closable)]
    for n, account in enumerate(left):
        await bench.plant(address(40_000 + n), *account)
    await bench.settle()
    said = await bench.run("reclaim")
    transactions = sum(1 for line in said.splitlines() if line.startswith("  ") and "left" not in line)
    assert f"closed {len(closable)} accounts" in said
    assert transactions == 3
    assert await bench.balance(21) == SOL + sum(rents) - transactions * FEE
    assert said.count("it holds 1 units") == 2
    assert said.count("3 units of withheld transfer fees") == 1
    after = await bench.rpc.get_multiple_accounts([address(40_000 + n) for n in range(3)], "confirmed")
    assert [a is not None and a.data for a in after] == [data for _, data in left]
    gone = await bench.rpc.get_multiple_accounts([address(30_000 + n) for n in range(len(closable))], "confirmed")
    assert gone == [None] * len(closable)

    refusal = await bench.run("rotate", "w21", expect=2)
    assert "w21 holds tokens in 2 accounts" in refusal
    await bench.run("allow", str(address(29)))
    assert "w21 holds tokens in 2 accounts" in await bench.run("sweep", str(address(29)), expect=2)


@in_module_loop
async def test_program_itself_refuses_what_the_plan_leaves(bench: Bench) -> None:
    """Withheld fees, and a stranger's unit: the reasons for leaving an account are the program's own."""
    signer = wallet_key(31).signer()
    await bench.rpc.request_airdrop(signer.pubkey, Lamports(SOL))
    withheld = token_data(signer.pubkey, extensions=extension(7, b"") + extension(2, struct.pack("<Q", 3)))
    await bench.plant(address(50_001), TOKEN_2022_PROGRAM, withheld)
    await bench.plant(address(50_002), TOKEN_PROGRAM, token_data(signer.pubkey, amount=1))
    await bench.settle()
    for key, program in ((address(50_001), TOKEN_2022_PROGRAM), (address(50_002), TOKEN_PROGRAM)):
        close = close_token_account(key, signer.pubkey, program)
        signed = sign(signer, [close], await bench.rpc.get_latest_blockhash("confirmed"))
        simulated = await bench.rpc.simulate(signed.raw, [], "confirmed")
        assert simulated.err is not None


@in_module_loop
async def test_rotation_moves_everything_to_a_fresh_wallet_and_keeps_the_old_key(bench: Bench) -> None:
    path = bench.keystore(41)
    await bench.run("fund", "--lamports", str(SOL))
    said = await bench.run("rotate", "w41", "fresh")
    with open_keystore(path, Secret(PASSWORD)) as keystore:
        old, fresh = keystore.wallets
        assert (old.name, old.is_retired, old.successor) == ("w41", True, "fresh")
        assert (fresh.name, fresh.is_retired) == ("fresh", False)
        assert keystore.signer("w41").pubkey == address(41)
    assert f"fresh  {fresh.address}" in said
    assert await bench.balance(41) == 0
    assert await bench.rpc.get_balance(fresh.address, "confirmed") == SOL - FEE
    # Money that comes in late, or a crash between the two steps: again, to the same successor.
    await bench.run("fund", "w41", "--lamports", str(SOL))
    await bench.run("rotate", "w41")
    assert await bench.rpc.get_balance(fresh.address, "confirmed") == 2 * (SOL - FEE)
    assert "w41" in await bench.run("list")


@in_module_loop
async def test_refusals_of_the_chain_are_sentences(bench: Bench) -> None:
    bench.keystore(51, 52)
    said = await bench.run("fund", "w52", "--from", "w51", "--lamports", str(SOL), expect=1)
    assert said.startswith("slotzero: nothing was sent: funding takes ")
    for cluster in ("paper", "live"):
        said = await bench.run("fund", "--lamports", "1", "--cluster", cluster, expect=2)
        assert "is not available yet" in said
        said = await bench.run("rotate", "w51", "--cluster", cluster, expect=2)
        assert "is not available yet" in said


def test_absent_chain_is_a_sentence(tmp_path: Path) -> None:
    path, secret = new_keystore(tmp_path, 61), password_file(tmp_path)
    done = run_wallet("fund", "--lamports", "1", "--port", "1", "--keystore", str(path), "--password-file", str(secret))
    assert done.returncode == 1
    assert done.stderr.startswith("slotzero: http://127.0.0.1:1: getVersion failed")
    assert done.stderr.count("\n") == 1
