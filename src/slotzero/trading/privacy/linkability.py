"""What ties a set of wallets together for anyone who reads the chain. *Pure.*

Model: an observer sees every transaction of every wallet, and asks which wallets one person steers. The findings are
the usual ways to tell: who funded whom, where the money goes back to, the same coins at the same moment, the same
amounts, the same fees. A finding is *certain* where the chain itself shows the tie (money moved), *likely* where
chance is a poor explanation, *weak* where it is one of several.

Known failure cases: an exchange that funds thousands of strangers looks like one person unless its address is named
in `shared_sources`; ties through a third wallet that is not in the set are not seen; what happens off chain (the same
IP address at an RPC node) is not on the chain and not here. No finding is not "not linkable".
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Final, Literal, TypeVar

from msgspec import Struct
from solders.pubkey import Pubkey

from slotzero.units import BPS, ComputeUnits, Lamports, MicroLamportsPerCu, Slot

__all__ = ["Finding", "FindingKind", "LinkabilityReport", "LinkabilityRules", "WalletTransaction", "linkability_report"]

H = TypeVar("H", bound=Hashable)

FindingKind = Literal[
    "own_transfer",
    "shared_funding",
    "shared_destination",
    "same_moment",
    "shared_coins",
    "shared_creators",
    "same_size",
    "fee_fingerprint",
]
Strength = Literal["certain", "likely", "weak"]

_MAX_SHOWN: Final = 3


class WalletTransaction(Struct, frozen=True, kw_only=True):
    """A landed transaction of one of the wallets, as far as it can give something away.

    Attributes:
        counterparty: Who sent the money (funding) or received it (sweep); None for a trade.
        mint: The coin traded; None for a transfer.
        creator: Who made that coin, where known.
        lamports: What the buy spent, or the transfer moved.
    """

    wallet: Pubkey
    slot: Slot
    kind: Literal["funding", "sweep", "buy", "sell"]
    lamports: Lamports
    unit_limit: ComputeUnits
    unit_price: MicroLamportsPerCu
    tip_lamports: Lamports
    counterparty: Pubkey | None = None
    mint: Pubkey | None = None
    creator: Pubkey | None = None


class LinkabilityRules(Struct, frozen=True, kw_only=True):
    """What counts as a tie.

    Attributes:
        moment_slots: Two buys of one coin at most so many slots apart are at the same moment.
        min_repeats: How often a coincidence must repeat to be a finding.
        same_share_bps: Which share of a wallet's buys of one size, or with one fee, is a fingerprint.
        shared_sources: Addresses that serve many strangers (exchanges): a tie through them is weak.
    """

    moment_slots: int = 2
    min_repeats: int = 3
    same_share_bps: int = 5_000
    shared_sources: frozenset[Pubkey] = frozenset()


class Finding(Struct, frozen=True, kw_only=True):
    """One tie, or a habit one wallet is known by.

    Attributes:
        wallets: Whom it ties, in the order of the set; a single one where it is a habit.
        count: How many transactions or coins show it.
        detail: One sentence for a person.
    """

    kind: FindingKind
    strength: Strength
    wallets: tuple[Pubkey, ...]
    count: int
    detail: str


class LinkabilityReport(Struct, frozen=True, kw_only=True):
    """What remains visible.

    Attributes:
        findings: Strongest first.
        groups: Wallets that certain and likely findings tie together, largest group first; a wallet that nothing ties
            to another is a group of its own.
        transactions: How many were looked at: no finding among few says little.
    """

    findings: tuple[Finding, ...]
    groups: tuple[tuple[Pubkey, ...], ...]
    transactions: int


def linkability_report(
    wallets: Sequence[Pubkey],
    transactions: Iterable[WalletTransaction],
    rules: LinkabilityRules = LinkabilityRules(),  # noqa: B008 frozen
) -> LinkabilityReport:
    """Say what the chain shows of a set of wallets. *Pure.* Not for the hot path: it reads everything.

    Args:
        wallets: The set; transactions of others are left out.
        transactions: In any order.
        rules: What counts as a tie.
    """
    order = {wallet: index for index, wallet in enumerate(wallets)}
    seen = sorted((t for t in transactions if t.wallet in order), key=lambda t: (t.slot, order[t.wallet], t.lamports))
    buys = [t for t in seen if t.kind == "buy"]
    found = [
        *_transfers(seen, order, rules),
        *_same_moment(buys, order, rules),
        *_shared(buys, order, rules, "shared_coins", "coins", lambda t: t.mint),
        *_shared(buys, order, rules, "shared_creators", "creators of coins", lambda t: t.creator),
        *_same_size(buys, order, rules),
        *_fees([t for t in seen if t.kind in ("buy", "sell")], order, rules),
    ]
    strongest = {"certain": 0, "likely": 1, "weak": 2}
    found.sort(key=lambda finding: (strongest[finding.strength], -len(finding.wallets), -finding.count))
    return LinkabilityReport(findings=tuple(found), groups=_groups(order, found), transactions=len(seen))


_Order = dict[Pubkey, int]


def _sorted(wallets: Iterable[Pubkey], order: _Order) -> tuple[Pubkey, ...]:
    return tuple(sorted(set(wallets), key=order.__getitem__))


def _transfers(seen: Sequence[WalletTransaction], order: _Order, rules: LinkabilityRules) -> list[Finding]:
    """Look at where money came from and went to: between own wallets, and through one common address."""
    found: list[Finding] = []
    direct: Counter[tuple[Pubkey, ...]] = Counter()
    common: dict[tuple[FindingKind, Pubkey], list[Pubkey]] = defaultdict(list)
    for t in seen:
        if t.kind not in ("funding", "sweep") or t.counterparty is None or t.counterparty == t.wallet:
            continue
        if t.counterparty in order:
            direct[_sorted((t.wallet, t.counterparty), order)] += 1
        else:
            common["shared_funding" if t.kind == "funding" else "shared_destination", t.counterparty].append(t.wallet)
    for pair, count in direct.items():
        detail = f"money moved between {_names(pair)} {count} times"
        found.append(Finding(kind="own_transfer", strength="certain", wallets=pair, count=count, detail=detail))
    for (kind, source), of in common.items():
        tied = _sorted(of, order)
        if len(tied) > 1:
            is_shared = source in rules.shared_sources
            verb = "funded" if kind == "shared_funding" else "received the money of"
            detail = f"{source} {verb} {_names(tied)}" + (", and those of many strangers" if is_shared else "")
            strength: Strength = "weak" if is_shared else "certain"
            found.append(Finding(kind=kind, strength=strength, wallets=tied, count=len(of), detail=detail))
    return found


def _same_moment(buys: Sequence[WalletTransaction], order: _Order, rules: LinkabilityRules) -> list[Finding]:
    """Count for each pair of wallets the coins both bought within a few slots."""
    first: dict[Pubkey, dict[Pubkey, int]] = defaultdict(dict)
    for t in buys:
        if t.mint is not None:
            first[t.mint].setdefault(t.wallet, t.slot)
    pairs: Counter[tuple[Pubkey, ...]] = Counter()
    for slots in first.values():
        entries = sorted((slot, order[wallet], wallet) for wallet, slot in slots.items())
        for index, (slot, _, wallet) in enumerate(entries):
            for later_slot, _, other in entries[index + 1 :]:
                if later_slot > slot + rules.moment_slots:
                    break
                pairs[_sorted((wallet, other), order)] += 1
    return [
        Finding(
            kind="same_moment",
            strength="likely",
            wallets=pair,
            count=count,
            detail=f"{_names(pair)} bought {count} coins within {rules.moment_slots} slots of each other",
        )
        for pair, count in pairs.items()
        if count >= rules.min_repeats
    ]


def _shared(
    buys: Sequence[WalletTransaction],
    order: _Order,
    rules: LinkabilityRules,
    kind: FindingKind,
    what: str,
    of: Callable[[WalletTransaction], Pubkey | None],
) -> list[Finding]:
    """Find pairs that bought the same things; a sniper's wallets share many by its trade alone, hence weak."""
    sets: dict[Pubkey, set[Pubkey]] = defaultdict(set)
    for t in buys:
        if (thing := of(t)) is not None:
            sets[t.wallet].add(thing)
    found: list[Finding] = []
    wallets = _sorted(sets, order)
    for index, wallet in enumerate(wallets):
        for other in wallets[index + 1 :]:
            count = len(sets[wallet] & sets[other])
            if count >= rules.min_repeats:
                pair = (wallet, other)
                detail = f"{_names(pair)} bought {count} of the same {what}"
                found.append(Finding(kind=kind, strength="weak", wallets=pair, count=count, detail=detail))
    return found


def _same_size(buys: Sequence[WalletTransaction], order: _Order, rules: LinkabilityRules) -> list[Finding]:
    return _habits(
        buys, order, rules, "same_size", lambda t: t.lamports, lambda lamports: f"buys of exactly {lamports} lamports"
    )


def _fees(trades: Sequence[WalletTransaction], order: _Order, rules: LinkabilityRules) -> list[Finding]:
    def name(fees: tuple[int, int, int]) -> str:
        return f"trades with unit limit {fees[0]}, unit price {fees[1]} and tip {fees[2]}"

    def fees_of(t: WalletTransaction) -> tuple[int, int, int]:
        return (t.unit_limit, t.unit_price, t.tip_lamports)

    return _habits(trades, order, rules, "fee_fingerprint", fees_of, name)


def _habits(
    trades: Sequence[WalletTransaction],
    order: _Order,
    rules: LinkabilityRules,
    kind: FindingKind,
    of: Callable[[WalletTransaction], H],
    name: Callable[[H], str],
) -> list[Finding]:
    """Find values a wallet repeats; several wallets with one and the same habit are tied by it."""
    values: dict[Pubkey, list[H]] = defaultdict(list)
    for t in trades:
        values[t.wallet].append(of(t))
    habits: dict[H, list[tuple[Pubkey, int]]] = defaultdict(list)
    for wallet, own in values.items():
        for value, count in Counter(own).items():
            if count >= rules.min_repeats and count * BPS >= rules.same_share_bps * len(own):
                habits[value].append((wallet, count))
    found: list[Finding] = []
    for value, who in habits.items():
        tied, count = _sorted((wallet for wallet, _ in who), order), sum(count for _, count in who)
        strength: Strength = "likely" if len(tied) > 1 else "weak"
        detail = f"{_names(tied)} made {count} {name(value)}"
        found.append(Finding(kind=kind, strength=strength, wallets=tied, count=count, detail=detail))
    return found


def _groups(order: _Order, findings: Iterable[Finding]) -> tuple[tuple[Pubkey, ...], ...]:
    """Join what certain and likely findings tie (union of sets, smaller into larger)."""
    group_of: dict[Pubkey, list[Pubkey]] = {wallet: [wallet] for wallet in order}
    for finding in findings:
        if finding.strength == "weak":
            continue
        first = finding.wallets[0]
        for other in finding.wallets[1:]:
            large, small = group_of[first], group_of[other]
            if large is small:
                continue
            if len(large) < len(small):
                large, small = small, large
            large.extend(small)
            for wallet in small:
                group_of[wallet] = large
    groups = {id(group): _sorted(group, order) for group in group_of.values()}
    return tuple(sorted(groups.values(), key=lambda group: (-len(group), order[group[0]])))


def _names(wallets: Sequence[Pubkey]) -> str:
    shown = [f"{str(wallet)[:6]}.." for wallet in wallets[:_MAX_SHOWN]]
    more = len(wallets) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more else "")
