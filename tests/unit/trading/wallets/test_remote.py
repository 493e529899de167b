"""The remote signer on a stand-in for solana-keychain, and on the package itself where it is installed."""

import asyncio
import enum
import importlib.util
import sys
import types
from typing import Any

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import to_bytes_versioned
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from slotzero.errors import Retry, UsageError
from slotzero.solana.transaction import RecentBlockhash, sign
from slotzero.trading.wallets import RemoteSigner, RemoteSignerError, WrongSignatureError, sign_with
from slotzero.units import BlockHeight
from wallet_lab import address, wallet_key

RECENT = RecentBlockhash(hash=Hash.default(), last_valid_block_height=BlockHeight(150))
PAYMENT = transfer(TransferParams(from_pubkey=address(1), to_pubkey=address(2), lamports=5))
KEYPAIR = Keypair.from_seed(bytes(wallet_key(1).seed.reveal()))
HAS_PACKAGE = importlib.util.find_spec("solana_keychain") is not None


class Code(enum.Enum):
    HTTP_ERROR = "SIGNER_HTTP_ERROR"
    CONFIG_ERROR = "SIGNER_CONFIG_ERROR"


class SignerFault(Exception):  # noqa: N818 as the package names its own
    def __init__(self, code: Code) -> None:
        super().__init__("fixed sentence")
        self.code = code


class TransactionShape:
    def __init__(self, *, fault: Exception | None = None, forges: bool = False, hangs: bool = False) -> None:
        self.fault, self.forges, self.hangs = fault, forges, hangs
        self.pubkey = KEYPAIR.pubkey()

    async def sign_transaction(self, transaction: VersionedTransaction) -> Any:
        if self.hangs:
            await asyncio.sleep(60)
        if self.fault is not None:
            raise self.fault
        message = b"another" if self.forges else to_bytes_versioned(transaction.message)
        return types.SimpleNamespace(signature=KEYPAIR.sign_message(message))


@pytest.fixture
def _keychain(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("solana_keychain")
    module.TransactionSigner = TransactionShape  # type: ignore[attr-defined] # the stand-in's two names
    module.SignerError = SignerFault  # type: ignore[attr-defined] # as above
    monkeypatch.setitem(sys.modules, "solana_keychain", module)


def test_missing_package_is_one_sentence_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "solana_keychain", None)
    with pytest.raises(UsageError, match=r"`\.venv/bin/python -m pip install -e '\.\[keychain\]'`$"):
        RemoteSigner(TransactionShape())


@pytest.mark.usefixtures("_keychain")
async def test_remote_and_local_signature_are_the_same() -> None:
    signed = await sign_with(RemoteSigner(TransactionShape()), [PAYMENT], RECENT)
    assert signed == sign(wallet_key(1).signer(), [PAYMENT], RECENT)


@pytest.mark.usefixtures("_keychain")
def test_signer_of_another_shape_is_refused() -> None:
    class SendingShape:
        pubkey = KEYPAIR.pubkey()

        async def sign_transaction(self, transaction: VersionedTransaction) -> Any:
            raise NotImplementedError

    with pytest.raises(UsageError, match="a SendingShape rewrites a transaction or sends it itself"):
        RemoteSigner(SendingShape())


@pytest.mark.usefixtures("_keychain")
async def test_signature_of_other_bytes_is_refused() -> None:
    with pytest.raises(WrongSignatureError):
        await sign_with(RemoteSigner(TransactionShape(forges=True)), [PAYMENT], RECENT)


@pytest.mark.usefixtures("_keychain")
@pytest.mark.parametrize(
    ("signer", "code", "retry"),
    [
        (TransactionShape(fault=SignerFault(Code.HTTP_ERROR)), "SIGNER_HTTP_ERROR", Retry.RETRY),
        (TransactionShape(fault=SignerFault(Code.CONFIG_ERROR)), "SIGNER_CONFIG_ERROR", Retry.DO_NOT_RETRY),
        (TransactionShape(hangs=True), "timeout", Retry.RETRY),
    ],
)
async def test_fault_of_the_service_says_whether_to_ask_again(
    signer: TransactionShape, code: str, retry: Retry
) -> None:
    with pytest.raises(RemoteSignerError) as caught:
        await RemoteSigner(signer, timeout_ms=20).sign(b"\x80" + bytes(to_message()))
    assert (caught.value.code, caught.value.retry) == (code, retry)
    assert str(caught.value) == f"the remote signer of {KEYPAIR.pubkey()} gave no signature ({code})"


def to_message() -> bytes:
    return sign(wallet_key(1).signer(), [PAYMENT], RECENT).raw[66:]


@pytest.mark.skipif(not HAS_PACKAGE, reason="solana-keychain is not installed (the extra [keychain])")
async def test_package_itself_signs_our_bytes() -> None:
    keychain: Any = importlib.import_module("solana_keychain")
    remote = RemoteSigner(keychain.MemorySigner(KEYPAIR))
    assert remote.pubkey == address(1)
    assert await sign_with(remote, [PAYMENT], RECENT) == sign(wallet_key(1).signer(), [PAYMENT], RECENT)


@pytest.mark.skipif(not HAS_PACKAGE, reason="solana-keychain is not installed (the extra [keychain])")
async def test_package_itself_faults_as_expected() -> None:
    keychain: Any = importlib.import_module("solana_keychain")

    class Broken(keychain.MemorySigner):  # type: ignore[misc] # the package is optional, so its classes are Any
        async def sign_transaction(self, transaction: VersionedTransaction) -> Any:  # noqa: ARG002 the name is the shape
            raise keychain.SignerError(keychain.SignerErrorCode.NOT_AVAILABLE, "secret detail")

    with pytest.raises(RemoteSignerError, match="SIGNER_NOT_AVAILABLE") as caught:
        await sign_with(RemoteSigner(Broken(KEYPAIR)), [PAYMENT], RECENT)
    assert "secret detail" not in str(caught.value)
    assert issubclass(keychain.ModifyingSigner, keychain.SolanaSigner)
    assert not issubclass(keychain.ModifyingSigner, keychain.TransactionSigner)
    assert not issubclass(keychain.SendingSigner, keychain.TransactionSigner)


def test_default_signature_is_no_signature() -> None:
    assert not Signature.default().verify(address(1), b"")
