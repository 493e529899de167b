"""Whose "not known" may end an order: the rule that keeps a lagging node from making an order look expired.

The danger. An order is expired when the chain has passed its last valid block height and does not know its signature.
With one node both halves come from the same place. With several, the height may come from one that is ahead and the
"not known" from one that is behind and has not seen the block the order landed in: the order looks expired, is signed
anew, and is paid for twice.

The rule. A caller knows block heights only from the pool, so the pool remembers the highest height it has ever *told*,
and to everyone it must look like one node that has come that far. A "not known" leaves the pool only when the node that
says so has proved, itself, that it has come as far:

1. before it was asked, it has reported a *confirmed* block of its own at or above every height that was told until its
   answer is handed on, and
2. the answer's context slot is not older than that block's slot.

Why both. 1 alone fails behind a load balancer, where one name is many nodes: the height may come from one and the "not
known" from another, which 2 catches. 2 alone fails on a node that is cut off with a minority: slots go by the clock, so
its slot runs on, but nothing is confirmed there, which 1 catches. A landed order lies in a block below the told height,
so below a confirmed block this node had before it looked; its own view then knows the signature. (A report that comes
after the look proves nothing: the node may have looked on a fork that it has left since.)

What it rests on: a confirmed block stays (none was ever taken back on mainnet); a node that is asked to search history
has kept it. What is left: behind a load balancer, a node cut off with a minority *and* asked twice in a row, as the
order machine does; and a node that has thrown its history away and does not say so (error -32011), which matters for
orders of days ago, not of minutes.

A *known* status needs no witness: it is true whoever tells it.
"""

from msgspec import Struct

from slotzero.units import BlockHeight, Slot

__all__ = ["Proof", "Witness"]


class Proof(Struct, frozen=True, kw_only=True):
    """A confirmed block that an endpoint has reported as its own."""

    height: BlockHeight
    slot: Slot


class Witness:
    """Heights told, and how far each endpoint has proved to be. A pure machine; endpoints are known by number."""

    def __init__(self) -> None:
        self._told = BlockHeight(0)
        self._proofs: dict[int, Proof] = {}

    @property
    def told(self) -> BlockHeight:
        """The highest block height told to anyone, at any commitment."""
        return self._told

    def tell(self, height: BlockHeight) -> None:
        """A caller is about to learn that the chain has come to `height`."""
        self._told = max(self._told, height)

    def prove(self, endpoint: int, height: BlockHeight, slot: Slot) -> None:
        """An endpoint reports a confirmed block of its own; the newest report counts, also when it is a step back."""
        self._proofs[endpoint] = Proof(height=height, slot=slot)

    def proof(self, endpoint: int) -> Proof | None:
        """Return what the endpoint has proved, if it has come as far as anyone was told. Take it *before* asking."""
        proof = self._proofs.get(endpoint)
        return proof if proof is not None and proof.height >= self._told else None

    def may_deny(self, proof: Proof, context_slot: Slot) -> bool:
        """Tell whether a "not known" read at `context_slot` may be handed on now."""
        return proof.height >= self._told and context_slot >= proof.slot
