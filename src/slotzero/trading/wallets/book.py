"""The wallets of a run: which of them pays for the next buy, and what each may still spend.

A pure machine: requests, outcomes and balances come in, reservations and refusals go out; time is handed in. The same
calls give the same choices. Choosing looks at each wallet once at most: about 0.5 us for each that has to refuse.

The life of a buy: `choose` sets its whole possible cost aside (*reserved*). `release` gives that back when nothing was
bought. `commit` replaces it by what was spent; from then on it is *held*, its cost at risk, until `close`. What a
wallet has free is its balance, minus what is reserved, minus what must stay behind; balances follow the chain, so
for a moment after landing an amount may be counted twice, which errs on the safe side.

Caps are judged with everything reserved counted as spent: no order of outcomes can exceed them. What a buy turns out
to have cost is counted as it is, even above its reservation.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final, Literal

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.trading.filters import Refusal
from slotzero.trading.sliding_sum import SlidingSum
from slotzero.units import Lamports

__all__ = ["MAX_WALLETS", "Reservation", "RotationPolicy", "WalletBook", "WalletCaps", "WalletStanding"]

RotationPolicy = Literal["round_robin", "least_used", "fresh_every_n"]
"""`round_robin` takes the next in order, `least_used` the one with the fewest buys (the longest idle among equals),
`fresh_every_n` stays with one for N buys, then goes on to one that has never bought, and stops when none is left."""

MAX_WALLETS: Final = 256
_HOUR_NS: Final = 3_600_000_000_000
_DAY_NS: Final = 24 * _HOUR_NS
_MAX_SPENDS: Final = 2_048
"""Buys of one wallet kept apart within a day; beyond it the oldest are conflated, which errs on the safe side."""
_MAX_RESERVATIONS: Final = 20_000


class WalletCaps(Struct, frozen=True, kw_only=True):
    """What one wallet may do. None means no such cap.

    Attributes:
        max_spend_per_hour_lamports: What its buys may cost within any hour.
        max_spend_per_day_lamports: What its buys may cost within any day.
        max_open_positions: Positions held and buys under way.
        max_at_risk_lamports: The cost of positions held and buys under way.
    """

    max_spend_per_hour_lamports: Lamports | None = None
    max_spend_per_day_lamports: Lamports | None = None
    max_open_positions: int | None = None
    max_at_risk_lamports: Lamports | None = None


class Reservation(Struct, frozen=True, kw_only=True):
    """So many lamports of a wallet, set aside for one buy."""

    id: int
    wallet: Pubkey
    lamports: Lamports


class WalletStanding(Struct, frozen=True, kw_only=True):
    """One wallet as it stands, for showing.

    Attributes:
        start_lamports: Its balance when it was taken into the book.
        free_lamports: What a new buy may cost; can be negative.
        uses: Buys made and under way, what earlier runs made included when it was recalled.
    """

    wallet: Pubkey
    balance: Lamports
    start_lamports: Lamports
    free_lamports: int
    reserved_lamports: int
    at_risk_lamports: int
    open_positions: int
    spent_hour_lamports: int
    spent_day_lamports: int
    uses: int


class _Wallet:
    """What the book knows of one wallet."""

    __slots__ = (
        "at_risk",
        "balance",
        "day",
        "hour",
        "is_open",
        "kept",
        "last_chosen",
        "open",
        "pubkey",
        "reserved",
        "start",
        "uses",
    )

    def __init__(self, pubkey: Pubkey, balance: int, kept: int) -> None:
        self.pubkey = pubkey
        self.balance = self.start = balance
        self.kept = kept
        self.is_open = True
        """Whether it may be chosen; a retired one still holds what it holds."""
        self.reserved = 0
        self.at_risk = 0
        """The cost of what is held; reservations are counted in `reserved`."""
        self.open = 0
        """Positions held and buys under way."""
        self.uses = 0
        self.last_chosen = 0
        self.hour = SlidingSum(_HOUR_NS, max_entries=_MAX_SPENDS)
        self.day = SlidingSum(_DAY_NS, max_entries=_MAX_SPENDS)

    @property
    def free(self) -> int:
        return self.balance - self.reserved - self.kept


class _Buy:
    """A buy that a wallet pays for: reserved, then held."""

    __slots__ = ("at_risk", "is_held", "reservation", "wallet")

    def __init__(self, wallet: _Wallet, reservation: Reservation) -> None:
        self.wallet = wallet
        self.reservation = reservation
        self.is_held = False
        self.at_risk = 0


class WalletBook:
    """Chooses the wallet of each buy and keeps account of them all.

    Args:
        policy: In which order wallets are chosen.
        caps: What each wallet may do.
        buys_per_wallet: N of `fresh_every_n`.
    """

    def __init__(
        self, policy: RotationPolicy = "round_robin", caps: WalletCaps | None = None, *, buys_per_wallet: int = 1
    ) -> None:
        if buys_per_wallet < 1:
            raise ValueError(f"a wallet must be good for at least one buy, got {buys_per_wallet}")
        self._policy = policy
        self._caps = caps or WalletCaps()
        self._buys_per_wallet = buys_per_wallet
        self._wallets: list[_Wallet] = []
        self._by_key: dict[Pubkey, _Wallet] = {}
        self._buys: dict[int, _Buy] = {}
        self._next = 0
        self._chosen = 0
        self._last_id = 0

    # ---- the wallets -----------------------------------------------------------------------------------------------

    def add(self, wallet: Pubkey, *, balance: Lamports, kept: Lamports) -> None:
        """Take a wallet in, behind the others.

        Args:
            wallet: Its address.
            balance: Its lamports now.
            kept: What must stay behind: rent of the wallet itself and the fees of selling what it holds.

        Raises:
            ValueError: It is there already, or there are too many.
        """
        if wallet in self._by_key:
            raise ValueError(f"{wallet} is in the book already")
        if len(self._wallets) >= MAX_WALLETS:
            raise ValueError(f"a book has at most {MAX_WALLETS} wallets")
        entry = _Wallet(wallet, balance, kept)
        self._wallets.append(entry)
        self._by_key[wallet] = entry

    def retire(self, wallet: Pubkey) -> None:
        """Choose this wallet no more. What it holds and has under way goes on."""
        self._by_key[wallet].is_open = False

    def on_balance(self, wallet: Pubkey, balance: Lamports) -> None:
        """Take the chain's word about a wallet's lamports. A wallet that is not in the book is passed over."""
        if (entry := self._by_key.get(wallet)) is not None:
            entry.balance = balance

    def recall(self, wallet: Pubkey, *, spent: Lamports, at: int, buys: int = 1) -> None:
        """Count buys of an earlier run, so that a restart forgets no cap. Call it in the order of time.

        Args:
            wallet: Who paid.
            spent: What they cost.
            at: When, on this run's monotonic clock (negative for what was before the machine's start).
            buys: How many they were.
        """
        entry = self._by_key[wallet]
        entry.uses += buys
        entry.hour.add(at, spent)
        entry.day.add(at, spent)

    def recall_uses(self, wallet: Pubkey, buys: int) -> None:
        """Count buys of earlier runs that have left every window."""
        self._by_key[wallet].uses += buys

    def adopt(self, wallet: Pubkey, *, at_risk: Lamports) -> Reservation:
        """Take over a position of an earlier run; its cost is told to `recall`. Returns what `close` needs."""
        entry = self._by_key[wallet]
        buy = self._enter(entry, Lamports(0))
        buy.is_held = True
        buy.at_risk = at_risk
        entry.at_risk += at_risk
        return buy.reservation

    def reserve(self, wallet: Pubkey, lamports: Lamports) -> Reservation:
        """Set `lamports` aside for a buy that an earlier run has signed and that may land yet, whatever the caps say.

        It ends as any other: with `release` or `commit`.
        """
        entry = self._by_key[wallet]
        entry.uses += 1
        return self._enter(entry, lamports).reservation

    # ---- a buy -----------------------------------------------------------------------------------------------------

    def choose(self, lamports: Lamports, now: int) -> Reservation | Refusal:
        """Reserve `lamports`, the most a buy can cost, in the wallet whose turn it is. *Hot path.*

        Returns:
            The reservation; or why no wallet can pay: `insufficient_balance`, `max_open_positions`, `max_at_risk`,
            `max_spend_per_hour`, `max_spend_per_day`, `wallet_used_up` or `no_wallet`. Of several reasons the most
            frequent counts, and the detail names all.
        """
        if len(self._buys) >= _MAX_RESERVATIONS:
            return Refusal(reason="too_many_reservations", detail=f"{_MAX_RESERVATIONS} buys are in the book")
        refused: list[str] = []
        for entry in self._in_turn():
            if (reason := self._objection(entry, lamports, now)) is None:
                self._chosen += 1
                entry.last_chosen = self._chosen
                entry.uses += 1
                if self._policy == "round_robin":
                    self._next = (self._wallets.index(entry) + 1) % len(self._wallets)
                return self._enter(entry, lamports).reservation
            refused.append(reason)
        return self._refusal(refused, lamports)

    def release(self, reservation: Reservation) -> None:
        """Give a reservation back: nothing was bought, and it counts as no use of the wallet."""
        entry = self._leave(reservation, was_held=False)
        entry.reserved -= reservation.lamports
        entry.open -= 1
        entry.uses -= 1

    def commit(self, reservation: Reservation, *, spent: Lamports, now: int, is_held: bool = True) -> None:
        """Replace a reservation by what the chain says was spent, fees and rent included.

        Args:
            reservation: What was chosen.
            spent: What the buy cost; a failed one costs its fee.
            now: When.
            is_held: Whether there is a position now; False for a buy that landed and failed.
        """
        buy = self._buys[reservation.id]
        assert not buy.is_held, "a reservation is committed once"
        entry = buy.wallet
        entry.reserved -= reservation.lamports
        entry.hour.add(now, spent)
        entry.day.add(now, spent)
        if is_held:
            buy.is_held = True
            buy.at_risk = spent
            entry.at_risk += spent
        else:
            del self._buys[reservation.id]
            entry.open -= 1

    def close(self, reservation: Reservation) -> None:
        """The position is gone: it is no longer at risk. What it cost stays spent."""
        at_risk = self._buys[reservation.id].at_risk
        entry = self._leave(reservation, was_held=True)
        entry.at_risk -= at_risk
        entry.open -= 1

    # ---- looking inside --------------------------------------------------------------------------------------------

    @property
    def wallets(self) -> Sequence[Pubkey]:
        """All wallets in the order they were added."""
        return [entry.pubkey for entry in self._wallets]

    @property
    def unused(self) -> int:
        """How many wallets have never bought: what `fresh_every_n` still has in hand."""
        return sum(1 for entry in self._wallets if entry.is_open and not entry.uses)

    def free(self, wallet: Pubkey) -> int:
        """Return what a new order of this wallet may cost; can be negative. Caps are not looked at."""
        return self._by_key[wallet].free

    def standing(self, wallet: Pubkey, now: int) -> WalletStanding:
        """Return how a wallet stands at `now`."""
        entry = self._by_key[wallet]
        return WalletStanding(
            wallet=wallet,
            balance=Lamports(entry.balance),
            start_lamports=Lamports(entry.start),
            free_lamports=entry.free,
            reserved_lamports=entry.reserved,
            at_risk_lamports=entry.at_risk + entry.reserved,
            open_positions=entry.open,
            spent_hour_lamports=entry.hour.total(now),
            spent_day_lamports=entry.day.total(now),
            uses=entry.uses,
        )

    # ---- how it is done --------------------------------------------------------------------------------------------

    def _in_turn(self) -> Sequence[_Wallet]:
        """Return the wallets, the one whose turn it is first."""
        wallets = self._wallets
        match self._policy:
            case "round_robin":
                return wallets[self._next :] + wallets[: self._next]
            case "least_used":
                return sorted(wallets, key=_idleness)
            case "fresh_every_n":
                return wallets

    def _objection(self, entry: _Wallet, lamports: int, now: int) -> str | None:
        """Say what keeps a wallet from paying `lamports`, or None."""
        caps = self._caps
        if not entry.is_open:
            return "retired"
        if self._policy == "fresh_every_n" and entry.uses >= self._buys_per_wallet:
            return "wallet_used_up"
        if lamports > entry.balance - entry.reserved - entry.kept:
            return "insufficient_balance"
        if caps.max_open_positions is not None and entry.open >= caps.max_open_positions:
            return "max_open_positions"
        committed = entry.reserved + lamports
        if caps.max_at_risk_lamports is not None and entry.at_risk + committed > caps.max_at_risk_lamports:
            return "max_at_risk"
        hourly, daily = caps.max_spend_per_hour_lamports, caps.max_spend_per_day_lamports
        if hourly is not None and entry.hour.total(now) + committed > hourly:
            return "max_spend_per_hour"
        if daily is not None and entry.day.total(now) + committed > daily:
            return "max_spend_per_day"
        return None

    def _enter(self, entry: _Wallet, lamports: Lamports) -> _Buy:
        self._last_id = number = self._last_id + 1
        buy = _Buy(entry, Reservation(id=number, wallet=entry.pubkey, lamports=lamports))
        self._buys[number] = buy
        entry.reserved += lamports
        entry.open += 1
        return buy

    def _leave(self, reservation: Reservation, *, was_held: bool) -> _Wallet:
        assert self._buys[reservation.id].is_held is was_held, "a reservation is released, a position is closed"
        return self._buys.pop(reservation.id).wallet

    def _refusal(self, refused: list[str], lamports: int) -> Refusal:
        reasons = Counter(reason for reason in refused if reason != "retired")
        if not reasons:
            return Refusal(reason="no_wallet", detail="no wallet is in use")
        found = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common())
        most_free = max(entry.free for entry in self._wallets if entry.is_open)
        detail = f"a buy may cost {lamports} lamports, the most a wallet has free is {most_free}; wallets: {found}"
        return Refusal(reason=reasons.most_common(1)[0][0], detail=detail)


def _idleness(entry: _Wallet) -> tuple[int, int]:
    return entry.uses, entry.last_chosen
