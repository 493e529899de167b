"""Live trading on a loopback chain: a cheap keystore, endpoints with tokens in them, and what a secret looks like."""

import json
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from chain_judge import base58
from slotzero.secret import Secret
from slotzero.trading.wallets import create_keystore
from stage_chain import SOL, Stage
from wallet_lab import CHEAP, PASSWORD, password_file, wallet_key

__all__ = ["LIMITS", "LiveDesk", "forms_of"]

# What looks like keys of a provider's; they open nothing.
PATH_TOKEN = "k7Qz31vXw9TnB4sYd82LmEcRf6HjPg5a"  # noqa: S105
QUERY_TOKEN = "5d0c9a7e-41b2-4f63-9c18-e7ab20d4f935"  # noqa: S105
OTHER_TOKEN = "Zx8Rt2Wq6Lp1Ns4Vb7Mk3Jh9Gf5Dc0Ay"  # noqa: S105
LIMITS = "[limits]\ntrade_lamports = 200_000_000\nhour_lamports = 5_000_000_000\nday_lamports = 9_000_000_000\n"
_WALLETS = tuple(int.from_bytes(sha256(f"a live test's wallet {n}".encode()).digest(), "big") for n in range(2))


@dataclass(frozen=True)
class LiveDesk:
    """What a live run needs, in one folder."""

    folder: Path
    keystore: Path
    password: Path
    addresses: tuple[str, ...]

    @classmethod
    def made(cls, folder: Path) -> "LiveDesk":
        keystore = folder / "keys" / "keystore.json"
        wallets = {f"w{place}": wallet_key(number) for place, number in enumerate(_WALLETS)}
        create_keystore(keystore, Secret(PASSWORD), wallets, cost=CHEAP)
        return cls(
            folder,
            keystore,
            password_file(folder),
            tuple(str(wallet_key(number).address) for number in _WALLETS),
        )

    def fund(self, stage: Stage) -> None:
        for address in self.addresses:
            stage.rpc("requestAirdrop", address, 10 * SOL)

    @property
    def arguments(self) -> tuple[str, ...]:
        return ("--cluster", "live", "--password-file", str(self.password))

    @property
    def wallets(self) -> str:
        return f'[wallets]\nkeystore = "{self.keystore}"\n'

    @property
    def secrets(self) -> dict[str, bytes]:
        """Every way a secret might be written down, by what it is."""
        found = {"password": PASSWORD.encode(), "path token": PATH_TOKEN.encode(), "query token": QUERY_TOKEN.encode()}
        found["other token"] = OTHER_TOKEN.encode()
        for number in _WALLETS:
            seed = number.to_bytes(32, "big")
            public = bytes(wallet_key(number).address)
            for name, form in forms_of(seed, public):
                found[f"key {number % 1_000}: {name}"] = form
        return found


def forms_of(seed: bytes, public: bytes) -> Iterator[tuple[str, bytes]]:
    """What a key's secret half may look like: as bytes, in text, alone and with its public half."""
    whole = seed + public
    yield "bytes", seed
    yield "hex", seed.hex().encode()
    yield "HEX", seed.hex().upper().encode()
    yield "base58 of the seed", base58(seed).encode()
    yield "base58", base58(whole).encode()
    yield "base64 of the seed", b64encode(seed).rstrip(b"=")[:-1]
    yield "base64", b64encode(whole)[:40]
    yield "base64, shifted by one", b64encode(b"\0" + seed)[4:40]
    yield "base64, shifted by two", b64encode(b"\0\0" + seed)[4:40]
    numbers = json.dumps(list(seed))[1:-1]
    yield "numbers", numbers.encode()
    yield "numbers without blanks", numbers.replace(" ", "").encode()
    yield "repr", repr(seed)[2:-1].encode()


def tokened(url: str, path: str = PATH_TOKEN, query: str = QUERY_TOKEN) -> str:
    """An endpoint's address as providers hand it out."""
    return f"{url}/{path}/?api-key={query}"


def cluster_of(stage: Stage) -> str:
    """The `[cluster]` lines with both ports of a chain, each with tokens."""
    ends, second = stage.endpoints, stage.endpoints["second"]
    return (
        f'rpc_url = "{tokened(second["rpc"])}"\nws_url = "{tokened(second["ws"])}"\n'
        f'other_rpc_urls = ["{tokened(ends["rpc"], OTHER_TOKEN)}"]\n'
        f'other_ws_urls = ["{tokened(ends["ws"], OTHER_TOKEN)}"]\n'
    )
