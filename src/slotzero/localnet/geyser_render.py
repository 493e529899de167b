"""Executed transactions and slots as Geyser updates: bytes without the names of the filters they satisfy.

Concatenating two protobuf messages merges them, so an update is encoded once, however many subscribers get it, and
each one's filter names are put in front.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

from solders.account import Account
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from slotzero.localnet.history import TokenBalance, TransactionRecord
from slotzero.localnet.render import decimals_of, ui_amount_json
from slotzero.localnet.transaction_error import error_bincode
from slotzero.solana.geyser_proto import geyser_pb2 as geyser
from slotzero.solana.geyser_proto import solana_storage_pb2 as storage
from slotzero.units import MonoNs, Slot, WallNs

__all__ = ["filter_names", "ping_update", "pong_update", "slot_update", "transaction_update"]

ReadAccount = Callable[[Pubkey], Account | None]


@lru_cache(maxsize=1_024)
def filter_names(names: tuple[str, ...]) -> bytes:
    """Return what stands in front of an update that satisfies the filters `names`. *Pure.*"""
    return geyser.SubscribeUpdate(filters=names).SerializeToString()


def transaction_update(record: TransactionRecord, read: ReadAccount, wall_ns: WallNs) -> bytes:
    """Return an executed transaction's update (about 60 us); `read` finds the mints, whose decimals never change."""
    transaction = record.transaction()
    update = geyser.SubscribeUpdate(
        transaction=geyser.SubscribeUpdateTransaction(
            transaction=geyser.SubscribeUpdateTransactionInfo(
                signature=bytes(record.signature),
                is_vote=False,
                transaction=_transaction(transaction, is_versioned=record.version is not None),
                meta=_meta(record, read),
                index=record.index,
            ),
            slot=record.slot,
        ),
        mono_ns=record.mono_ns,
    )
    update.created_at.FromNanoseconds(wall_ns)
    return update.SerializeToString()


def slot_update(
    slot: Slot, parent: Slot | None, status: geyser.SlotStatus, *, mono_ns: MonoNs, wall_ns: WallNs
) -> bytes:
    """Return a slot's new status."""
    update = geyser.SubscribeUpdate(
        slot=geyser.SubscribeUpdateSlot(slot=slot, parent=parent, status=status), mono_ns=mono_ns
    )
    update.created_at.FromNanoseconds(wall_ns)
    return update.SerializeToString()


def ping_update() -> bytes:
    """Return what asks a client whether it is there."""
    return geyser.SubscribeUpdate(ping=geyser.SubscribeUpdatePing()).SerializeToString()


def pong_update(number: int) -> bytes:
    """Return the answer to a client's ping."""
    return geyser.SubscribeUpdate(pong=geyser.SubscribeUpdatePong(id=number)).SerializeToString()


def _transaction(transaction: VersionedTransaction, *, is_versioned: bool) -> storage.Transaction:
    message = transaction.message
    header = message.header
    lookups = message.address_table_lookups if isinstance(message, MessageV0) else ()
    return storage.Transaction(
        signatures=[bytes(signature) for signature in transaction.signatures],
        message=storage.Message(
            header=storage.MessageHeader(
                num_required_signatures=header.num_required_signatures,
                num_readonly_signed_accounts=header.num_readonly_signed_accounts,
                num_readonly_unsigned_accounts=header.num_readonly_unsigned_accounts,
            ),
            account_keys=_bytes_of(message.account_keys),
            recent_blockhash=bytes(message.recent_blockhash),
            instructions=[
                storage.CompiledInstruction(
                    program_id_index=call.program_id_index, accounts=bytes(call.accounts), data=bytes(call.data)
                )
                for call in message.instructions
            ],
            versioned=is_versioned,
            address_table_lookups=[
                storage.MessageAddressTableLookup(
                    account_key=bytes(lookup.account_key),
                    writable_indexes=bytes(lookup.writable_indexes),
                    readonly_indexes=bytes(lookup.readonly_indexes),
                )
                for lookup in lookups
            ],
        ),
    )


def _meta(record: TransactionRecord, read: ReadAccount) -> storage.TransactionStatusMeta:
    metadata = record.metadata
    returned = metadata.return_data()
    has_returned = bool(returned.data)
    return storage.TransactionStatusMeta(
        err=None if record.err is None else storage.TransactionError(err=error_bincode(record.err)),
        fee=record.fee,
        pre_balances=record.pre_balances,
        post_balances=record.post_balances,
        inner_instructions=[
            storage.InnerInstructions(
                index=index,
                instructions=[
                    storage.InnerInstruction(
                        program_id_index=(call := inner.instruction()).program_id_index,
                        accounts=bytes(call.accounts),
                        data=bytes(call.data),
                        stack_height=inner.stack_height(),
                    )
                    for inner in calls
                ],
            )
            for index, calls in enumerate(metadata.inner_instructions())
            if calls
        ],
        log_messages=metadata.logs(),
        pre_token_balances=_token_balances(record.pre_token_balances, read),
        post_token_balances=_token_balances(record.post_token_balances, read),
        loaded_writable_addresses=_bytes_of(record.loaded_writable),
        loaded_readonly_addresses=_bytes_of(record.loaded_readonly),
        return_data=(
            storage.ReturnData(program_id=bytes(returned.program_id), data=bytes(returned.data))
            if has_returned
            else None
        ),
        return_data_none=not has_returned,
        compute_units_consumed=record.units_consumed,
    )


def _token_balances(rows: Iterable[TokenBalance], read: ReadAccount) -> Iterator[storage.TokenBalance]:
    for row in rows:
        shown = ui_amount_json(row.amount, decimals_of(read(row.mint)))
        yield storage.TokenBalance(
            account_index=row.account_index,
            mint=str(row.mint),
            ui_token_amount=storage.UiTokenAmount(
                ui_amount=float(str(shown["uiAmountString"])),
                decimals=int(str(shown["decimals"])),
                amount=str(row.amount),
                ui_amount_string=str(shown["uiAmountString"]),
            ),
            owner=str(row.owner),
            program_id=str(row.token_program),
        )


def _bytes_of(keys: Iterable[Pubkey]) -> list[bytes]:
    return [bytes(key) for key in keys]
