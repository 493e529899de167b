"""The lab's own error table: how often its verdicts are wrong, beside other rules on the same data, in a noisy place.

Two real workers run an async call of about 70 us in pairs of blocks, as `slotzero compare` does, while a neighbour
process makes noise in bursts on all cores. Measured are pairs of one and the same variant (A/A: every alarm is false)
and pairs in which the second is slower by a known amount, calibrated beforehand: all calls by 5 and by 10 %, or only
the slow tenth of them by 10 % (p95 moves, the median does not). Families of 48 tests are put together from the A/A
launches.

A *comparison* is 6 launches (3,000 samples a side), for the tail 24 (12,000). Ours is looked at once, at the end, with
its corrections for a family of its own four percentiles; the row with looks is the procedure of the command without
its repeat, which would take further alarms back. In A/A an alarm counts in either direction.

    python benchmarks/selftest.py              the whole table, at most 40 minutes; exit 1 when a bound is missed
    python benchmarks/selftest.py --scale 0.1  a tenth of the comparisons, for a first impression
"""

import argparse
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from statistics import median, stdev

from msgspec import Struct

from environment import print_environment
from rival_rules import RULES, Launches
from slotzero.clock import as_ms, elapsed_ns, mono_ns
from slotzero.perf.compare.blocks import log_ratios, quantiles
from slotzero.perf.compare.design import DEFAULT_DESIGN, turns
from slotzero.perf.compare.family import judge
from slotzero.perf.compare.rule import DEFAULT_RULES, EARLY_CONFIDENCE, as_percent, weigh
from slotzero.perf.compare.workers import Side, Worker
from slotzero.perf.effects import signed_rank
from slotzero.perf.types import Verdict

TURNS = 420
LAUNCHES = 6
TAIL_LAUNCHES = 24
FAMILIES = 400
FAMILY = 12  # workloads, with four percentiles each
METRICS = tuple(DEFAULT_RULES)
WAIT_MS = 60_000
NEIGHBOUR = """
import os, random, sys, time
draw = random.Random(int(sys.argv[1]))
parent = os.getppid()
heap = [bytearray(1 << 20) for _ in range(24)]
while os.getppid() == parent:
    until = time.monotonic() + draw.choice((0.005, 0.05, 0.3, 1.5))
    while time.monotonic() < until:
        block = draw.choice(heap)
        block[::64] = bytes(len(block[::64]))
        sum(number * number for number in range(2000))
    time.sleep(draw.choice((0.005, 0.05, 0.3, 1.0)))
"""


class Pairing(Struct):
    """What one launch measured of one pair of variants."""

    base: list[list[int]]
    new: list[list[int]]
    ratios: list[dict[str, float]]


class Row(Struct):
    """A rule's alarms in A/A, and what it found of each planted slowdown."""

    name: str
    counts: dict[str, tuple[int, int]]


def main() -> int:
    """Measure, print, judge."""
    options = _options()
    begun, draw = mono_ns(), Random(options.seed)  # noqa: S311 an order
    pairs, planted = max(2, round(300 * options.scale)), max(2, round(60 * options.scale))
    with neighbour(options.seed):
        variants = calibrated(draw)
        launches = measure(variants, pairs=pairs, planted=planted, draw=draw)
    table = {
        "A/A": grouped(launches["equal"], LAUNCHES)[:pairs],
        "+5 %": grouped(launches["slower_5"], LAUNCHES)[:planted],
        "+10 %": grouped(launches["slower_10"], LAUNCHES)[:planted],
        "p95 +10 %": grouped(launches["tail_10"], TAIL_LAUNCHES)[:planted],
    }
    rows = [ours("ours, median", table, ("median",)), ours("ours, p95", table, ("p95",))]
    rows += [ours("ours, any of 4 percentiles", table, METRICS), with_looks(launches)]
    rows += [rival(name, rule, table) for name, rule in RULES.items()]
    families = alarmed_families(launches["equal"], draw)
    print_environment(f"self-test of comparisons, seed {options.seed}, a neighbour making noise")
    print_truth(launches)
    print_rows(rows, table)
    print(f"  families of {FAMILY * len(METRICS)} tests with any alarm: {families} of {FAMILIES}")
    minutes = as_ms(elapsed_ns(begun, mono_ns())) / 60_000
    print(f"  took {minutes:.1f} minutes")
    missed = bounds_missed(rows, families)
    for sentence in missed:
        print(f"  MISSED: {sentence}")
    if options.json:
        document = {row.name: row.counts for row in rows} | {"families": [families, FAMILIES], "missed": missed}
        Path(options.json).write_text(json.dumps(document, indent=2))
    sys.stdout.flush()
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="The error table of the lab's comparisons.")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full table's comparisons")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", help="write the counts into this file")
    return parser.parse_args()


# ---- measuring -----------------------------------------------------------------------------------------------------


@contextmanager
def neighbour(seed: int) -> Iterator[None]:
    """Let another process make noise meanwhile."""
    noisy = subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(seed)])  # noqa: S603 our own text
    try:
        yield
    finally:
        noisy.kill()
        noisy.wait()


@contextmanager
def workers(
    variants: dict[str, tuple[int, int]], draw: Random, names: Sequence[str]
) -> Iterator[tuple[Worker, Worker]]:
    """Start a launch's two processes with everything loaded."""
    folder = str(Path(__file__).parent)
    sides = [Side(label=label, python=sys.executable, paths=(folder,)) for label in ("BASE", "NEW")]
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    environment = {
        "SLOTZERO_SELFTEST": json.dumps(variants),
        "PYTHONHASHSEED": str(draw.randrange(2**32)),
        "SLOTZERO_WORKER_CORE": str(cores[-1]),
    }
    with Worker(sides[0], environment) as base, Worker(sides[1], environment) as new:
        for worker in (base, new):
            worker.await_ready()
        for name in names:
            for worker in (base, new):
                request = {"do": "load", "name": name, "target": f"selftest_load:{name}", "package": None}
                assert worker.ask({**request, "root": None}, f"loading {name}", WAIT_MS).ok
        yield base, new


def block(worker: Worker, name: str) -> list[int]:
    """Run one block."""
    request = {"do": "block", "name": name, "calls": DEFAULT_DESIGN.calls, "dropped": DEFAULT_DESIGN.dropped}
    reply = worker.ask({**request, "loops": 1}, f"running a block of {name}", WAIT_MS)
    assert reply.ns is not None, reply.failed
    return reply.ns


def calibrated(draw: Random) -> dict[str, tuple[int, int]]:
    """Find how many turns make a call 5 and 10 % longer, from calls of one and of two times as many turns."""
    plain = {"one": (TURNS, TURNS), "two": (2 * TURNS, 2 * TURNS)}
    shares = []
    for _ in range(10):
        with workers(plain, draw, ("one", "two")) as (worker, _other):
            for _ in range(20):
                one, two = median(block(worker, "one")), median(block(worker, "two"))
                shares.append((two - one) / one)
    loop_share = median(shares)  # of a fast call's time, what its turns take
    per_percent = TURNS / loop_share / 100
    slow = 2 * TURNS
    slow_percent = per_percent * (1 + loop_share)  # a slow call is longer by the turns of a fast one
    return {
        "plain": (TURNS, slow),
        "equal": (TURNS, slow),
        "slower_5": (TURNS + round(5 * per_percent), slow + round(5 * slow_percent)),
        "slower_10": (TURNS + round(10 * per_percent), slow + round(10 * slow_percent)),
        "tail_10": (TURNS, slow + round(10 * slow_percent)),
    }


def measure(
    variants: dict[str, tuple[int, int]], *, pairs: int, planted: int, draw: Random
) -> dict[str, list[Pairing]]:
    """Make the launches; each measures the pairings that are still wanted."""
    wanted = {
        "equal": pairs * LAUNCHES,
        "slower_5": planted * LAUNCHES,
        "slower_10": planted * LAUNCHES,
        "tail_10": planted * TAIL_LAUNCHES,
    }
    found: dict[str, list[Pairing]] = {name: [] for name in wanted}
    while names := tuple(name for name, count in wanted.items() if len(found[name]) < count):
        made = {name: Pairing([], [], []) for name in names}
        with workers(variants, draw, ("plain", *names)) as (base, new):
            for turn in turns(names, DEFAULT_DESIGN.rounds, draw):
                first = block(base, "plain") if turn.base_first else block(new, turn.name)
                second = block(new, turn.name) if turn.base_first else block(base, "plain")
                before, after = (first, second) if turn.base_first else (second, first)
                pairing = made[turn.name]
                pairing.base.append(before)
                pairing.new.append(after)
                pairing.ratios.append(log_ratios(quantiles(before, METRICS), quantiles(after, METRICS)))
        for name, pairing in made.items():
            found[name].append(pairing)
        if len(found["equal"]) % 60 == 0 and sys.stderr.isatty():
            print({name: len(done) for name, done in found.items()}, file=sys.stderr)
    return found


# ---- judging -------------------------------------------------------------------------------------------------------


def grouped(launches: Sequence[Pairing], size: int) -> list[Sequence[Pairing]]:
    """Return comparisons: launches in order, none used twice."""
    return [launches[at : at + size] for at in range(0, len(launches) - size + 1, size)]


def verdicts(launches: Sequence[Pairing], confidence: float = 0.95) -> dict[str, Verdict]:
    """Return our verdict on each percentile."""
    family = {
        ("it", metric): weigh(
            [[ratio[metric] for ratio in launch.ratios] for launch in launches], DEFAULT_RULES[metric], confidence
        )
        for metric in METRICS
    }
    return {metric: verdict for (_, metric), (verdict, _) in judge(family, DEFAULT_RULES).items()}


def ours(name: str, table: dict[str, list[Sequence[Pairing]]], metrics: Sequence[str]) -> Row:
    """Judge every comparison by our rule."""
    counts = {}
    for column, comparisons in table.items():
        counted = (Verdict.REGRESSED, Verdict.IMPROVED) if column == "A/A" else (Verdict.REGRESSED,)
        hits = sum(any(verdicts(one)[metric] in counted for metric in metrics) for one in comparisons)
        counts[column] = (hits, len(comparisons))
    return Row(name, counts)


def with_looks(launches: dict[str, list[Pairing]]) -> Row:
    """Judge after 3, 6, 9 and 12 launches, as the command does."""
    looks = DEFAULT_DESIGN.looks
    counts = {}
    for column, name in (("A/A", "equal"), ("+5 %", "slower_5"), ("+10 %", "slower_10"), ("p95 +10 %", "tail_10")):
        comparisons = grouped(launches[name], looks[-1])
        counted = (Verdict.REGRESSED, Verdict.IMPROVED) if column == "A/A" else (Verdict.REGRESSED,)
        hits = 0
        for one in comparisons:
            for look in looks:
                found = verdicts(one[:look], 0.95 if look == looks[-1] else EARLY_CONFIDENCE)
                if any(verdict in counted for verdict in found.values()):
                    hits += 1
                    break
        counts[column] = (hits, len(comparisons))
    return Row("ours, any, looks to 12 launches", counts)


def rival(name: str, rule: Callable[[Launches, Launches], int], table: dict[str, list[Sequence[Pairing]]]) -> Row:
    """Judge every comparison by another rule."""
    counts = {}
    for column, comparisons in table.items():
        found = [rule([launch.base for launch in one], [launch.new for launch in one]) for one in comparisons]
        hits = sum(bool(one) for one in found) if column == "A/A" else sum(one > 0 for one in found)
        counts[column] = (hits, len(comparisons))
    return Row(name, counts)


def alarmed_families(launches: Sequence[Pairing], draw: Random) -> int:
    """Return how many families of tests resampled from the A/A launches hold any alarm, in either direction."""
    ratios = [{metric: [ratio[metric] for ratio in launch.ratios] for metric in METRICS} for launch in launches]
    hits = 0
    for _ in range(FAMILIES):
        family = {}
        for workload in range(FAMILY):
            drawn = draw.choices(ratios, k=LAUNCHES)
            for metric in METRICS:
                evidence = weigh([launch[metric] for launch in drawn], DEFAULT_RULES[metric])
                family[str(workload), metric] = evidence
        found = judge(family, DEFAULT_RULES)
        hits += any(verdict in (Verdict.REGRESSED, Verdict.IMPROVED) for verdict, _ in found.values())
    return hits


def print_truth(launches: dict[str, list[Pairing]]) -> None:
    """Print what all launches together say of each variant, and the noise."""
    for name, made in launches.items():
        medians = [median(ratio["median"] for ratio in launch.ratios) for launch in made]
        tails = [median(ratio["p95"] for ratio in launch.ratios) for launch in made]
        print(
            f"  {name:<10} {len(made):>5} launches  p50 {as_percent(signed_rank(medians[:2000]).estimate):+6.2f} %  "
            f"p95 {as_percent(signed_rank(tails[:2000]).estimate):+6.2f} %  "
            f"sd between launches: p50 {100 * stdev(medians):.2f} %  p95 {100 * stdev(tails):.2f} %"
        )
    raw = [math.log(median(sample for block in launch.base for sample in block)) for launch in launches["equal"]]
    print(f"  unpaired, the base's own median varies between launches by {100 * stdev(raw):.1f} %")


def print_rows(rows: Sequence[Row], table: dict[str, list[Sequence[Pairing]]]) -> None:
    """Print the table."""
    print(f"\n  {'alarms of / found of':<34}" + "".join(f"{column:>14}" for column in table))
    for row in rows:
        print(f"  {row.name:<34}" + "".join(f"{f'{hits} / {of}':>14}" for hits, of in row.counts.values()))


def bounds_missed(rows: Sequence[Row], families: int) -> list[str]:
    """Return which of the lab's promises the table does not keep."""
    by_name = {row.name: row.counts for row in rows}
    missed = []
    for name in ("ours, median", "ours, p95", "ours, any of 4 percentiles"):
        hits, of = by_name[name]["A/A"]
        if hits * 300 > 6 * of:
            missed.append(f"{name}: {hits} alarms in {of} A/A comparisons, at most 6 in 300 are allowed")
    for name, column, least in (
        ("ours, median", "+5 %", 48),
        ("ours, median", "+10 %", 55),
        ("ours, p95", "p95 +10 %", 48),
    ):
        hits, of = by_name[name][column]
        if hits * 60 < least * of:
            missed.append(f"{name}: {hits} of {of} found at {column}, at least {least} of 60 are promised")
    if families * 20 > FAMILIES:
        missed.append(f"{families} of {FAMILIES} families held an alarm, at most 5 % are allowed")
    return missed


if __name__ == "__main__":
    sys.exit(main())
