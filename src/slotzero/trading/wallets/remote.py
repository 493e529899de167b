"""Keys that live in a service (Vault, a cloud's KMS, a custodian), through the optional package solana-keychain.

Only its `TransactionSigner` shape is taken: it signs the bytes it is given. The other two rewrite a transaction or
send it themselves, so that what lands is not what was planned and written down; they are refused. A remote signature
costs a network round trip: for a treasury, not for the hot path.

Source: solana-keychain 2.0.0. Install it with `.venv/bin/python -m pip install -e '.[keychain]'`.
"""

import asyncio
import importlib
from typing import Final, Protocol

from solders.message import from_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from slotzero.errors import Retry, SlotzeroError, UsageError

__all__ = ["KeychainSigner", "RemoteSigner", "RemoteSignerError"]

_MS_PER_S: Final = 1_000
_MAY_PASS: Final = frozenset({"SIGNER_HTTP_ERROR", "SIGNER_NOT_AVAILABLE", "SIGNER_REMOTE_API_ERROR"})


class RemoteSignerError(SlotzeroError):
    """A remote signer gave no signature. Nothing was sent: asking again is safe.

    Attributes:
        code: The package's own code, for example "SIGNER_HTTP_ERROR", or "timeout".
    """

    def __init__(self, pubkey: Pubkey, code: str) -> None:
        self.code = code
        self.retry = Retry.RETRY if code in _MAY_PASS or code == "timeout" else Retry.DO_NOT_RETRY
        super().__init__(f"the remote signer of {pubkey} gave no signature ({code})")


class _Signed(Protocol):
    @property
    def signature(self) -> Signature: ...


class KeychainSigner(Protocol):
    """What is used of solana-keychain's `TransactionSigner`."""

    @property
    def pubkey(self) -> Pubkey:
        """The address it signs for."""
        ...

    async def sign_transaction(self, transaction: VersionedTransaction) -> _Signed:
        """Sign a transaction as it is."""
        ...


class RemoteSigner:
    """A `MessageSigner` whose key is in a service. What it returns is verified by `sign_with`.

    Args:
        signer: A signer made by solana-keychain, of the shape `TransactionSigner`.
        timeout_ms: How long one signature may take.

    Raises:
        UsageError: The package is not installed, or the signer is of another shape.
    """

    def __init__(self, signer: KeychainSigner, *, timeout_ms: int = 10_000) -> None:
        try:
            keychain = importlib.import_module("solana_keychain")
        except ModuleNotFoundError as error:
            raise UsageError(
                "remote signers need the package solana-keychain; install it from the checkout with "
                "`.venv/bin/python -m pip install -e '.[keychain]'`"
            ) from error
        if not isinstance(signer, keychain.TransactionSigner):
            raise UsageError(
                f"a {type(signer).__name__} rewrites a transaction or sends it itself; "
                "use a signer that signs the bytes it is given (solana-keychain's TransactionSigner)"
            )
        self._signer = signer
        self._timeout_s = timeout_ms / _MS_PER_S
        self._fault: type[Exception] = keychain.SignerError
        self.pubkey = signer.pubkey

    async def sign(self, message: bytes) -> bytes:
        """Return the service's signature of a transaction's message. *Does I/O.* *Cancellation: safe.*

        Raises:
            RemoteSignerError: There is none.
        """
        compiled = from_bytes_versioned(message)
        blank = [Signature.default()] * compiled.header.num_required_signatures
        transaction = VersionedTransaction.populate(compiled, blank)
        try:
            async with asyncio.timeout(self._timeout_s):
                signed = await self._signer.sign_transaction(transaction)
        except TimeoutError:
            code = "timeout"
        except self._fault as error:  # its text is the package's own fixed sentence: no key material, no reply
            code = str(getattr(getattr(error, "code", None), "value", "unknown"))
        else:
            return bytes(signed.signature)
        raise RemoteSignerError(self.pubkey, code)
