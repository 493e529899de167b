"""A histogram of durations in constant memory that merges exactly. Sans-I/O.

Model: whole nanoseconds fall into buckets that are exact below 256 ns and 1/128 of an octave wide above, so that a
value is known to 1/128 of itself. A percentile is the middle of the bucket that holds the nearest rank, at most 1/256
(0.39 %) from the value that was recorded; count, sum, smallest and largest are exact, and the two extreme ranks are
reported as those. Same idea as HdrHistogram (Tene) and DDSketch (Masson et al. 2019), with fixed bounds for all, so
that merging is adding counters: exact, in any order, in any grouping.

Assumptions: durations are 0 to 2**63 - 1 ns. There is nothing to configure, hence nothing that two histograms could
disagree on.

Weaknesses: the order of samples is lost, and with it everything about drift, blocks and pairs: keep raw samples for
comparisons. The standard deviation is that of bucket middles. 58 kB each, however few samples it holds.
"""

import base64
import binascii
import math
import struct
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from slotzero.errors import MalformedError
from slotzero.perf.stats import rank

__all__ = ["RELATIVE_ERROR", "Histogram"]

_BITS: Final = 7
_PER_OCTAVE: Final = 1 << _BITS
RELATIVE_ERROR: Final = 1 / (2 * _PER_OCTAVE)
"""How far a percentile can be from the value recorded, as a share of it."""
_LARGEST: Final = 2**63 - 1
_BUCKETS: Final = ((63 - _BITS - 1) << _BITS) + 2 * _PER_OCTAVE
_MOST: Final = 2**63 - 1
"""Values one histogram can hold."""

_MAGIC: Final = b"szh"
_VERSION: Final = 1
_HEAD: Final = len(_MAGIC) + 1
_CRC: Final = struct.Struct("<I")
_MOST_BYTES: Final = 256_000
"""No histogram of ours is longer: every bucket filled takes 12 bytes each."""
_VARINT_BITS: Final = 128


def _index(value: int) -> int:
    shift = value.bit_length() - _BITS - 1
    return (shift << _BITS) + (value >> shift) if shift > 0 else value


def _bounds(index: int) -> tuple[int, int]:
    """Return the smallest value of a bucket and the smallest above it."""
    shift = (index >> _BITS) - 1
    if shift <= 0:
        return index, index + 1
    low = (index - (shift << _BITS)) << shift
    return low, low + (1 << shift)


class Histogram:
    """Durations in nanoseconds, counted by size.

    Not for the hot loop itself: append to an `array("q")` there and `fold` it from time to time.
    """

    __slots__ = ("_count", "_counts", "_max", "_min", "_sum")

    def __init__(self) -> None:
        self._counts = array("Q", bytes(8 * _BUCKETS))
        self._count = 0
        self._sum = 0
        self._min = _LARGEST
        self._max = 0

    def record(self, duration_ns: int) -> None:
        """Count one duration (about 0.3 us).

        Raises:
            ValueError: It is negative or above 2**63 - 1.
        """
        if not 0 <= duration_ns <= _LARGEST:
            raise ValueError(f"a duration is 0 to 2**63 - 1 ns, got {duration_ns}")
        self._counts[_index(duration_ns)] += 1
        self._count += 1
        self._sum += duration_ns
        self._min = min(self._min, duration_ns)
        self._max = max(self._max, duration_ns)

    def fold(self, durations_ns: Iterable[int]) -> None:
        """Count many durations: the sooner folded, the less memory the array takes.

        Sorting and then cutting at bucket bounds costs a third of recording one by one.

        Raises:
            ValueError: One is negative or above 2**63 - 1; then none is counted.
        """
        self.fold_ordered(sorted(durations_ns))

    def fold_ordered(self, ordered: Sequence[int]) -> None:
        """Count many durations that are in ascending order already, as `fold` does."""
        if not ordered:
            return
        if ordered[0] < 0 or ordered[-1] > _LARGEST:
            raise ValueError(f"a duration is 0 to 2**63 - 1 ns, got {ordered[0]} to {ordered[-1]}")
        counts, place, count = self._counts, 0, len(ordered)
        while place < count:
            index = _index(ordered[place])
            end = bisect_left(ordered, _bounds(index)[1], place)
            counts[index] += end - place
            place = end
        self._count += count
        self._sum += sum(ordered)
        self._min = min(self._min, ordered[0])
        self._max = max(self._max, ordered[-1])

    def merge(self, other: "Histogram") -> None:
        """Add all of `other`. Exact: as if its durations had been recorded here."""
        for index, number in other._filled():  # noqa: SLF001 its own class
            self._counts[index] += number
        self._count += other.count
        self._sum += other.sum_ns
        self._min = min(self._min, other._min)  # noqa: SLF001 its own class
        self._max = max(self._max, other._max)  # noqa: SLF001 its own class

    @property
    def count(self) -> int:
        """Return how many durations there are."""
        return self._count

    @property
    def sum_ns(self) -> int:
        """Return the exact sum."""
        return self._sum

    @property
    def min_ns(self) -> int:
        """Return the exact smallest. Raises ValueError when there is none."""
        return self._some(self._min)

    @property
    def max_ns(self) -> int:
        """Return the exact largest. Raises ValueError when there is none."""
        return self._some(self._max)

    @property
    def mean_ns(self) -> float:
        """Return the exact mean. Raises ValueError when there is none."""
        return self._some(self._sum) / self._count

    @property
    def std_dev_ns(self) -> float | None:
        """Return the standard deviation (n - 1) of the bucket middles, or None for fewer than two."""
        if self._count < 2:  # noqa: PLR2004 one sample has no spread
            return None
        mean = self._sum / self._count
        squares = math.fsum(number * (self._middle(index) - mean) ** 2 for index, number in self._filled())
        return math.sqrt(squares / (self._count - 1))

    def percentile(self, percent: float) -> float:
        """Return the percentile by nearest rank, within `RELATIVE_ERROR` of the value that was recorded.

        Raises:
            ValueError: There is no duration, or `percent` is not above 0 and at most 100.
        """
        return self.at_rank(rank(self._count, percent))

    def at_rank(self, place: int) -> float:
        """Return the `place`-th smallest (from 1), within `RELATIVE_ERROR`."""
        if not 1 <= place <= self._count:
            raise ValueError(f"a rank is 1 to {self._count}, got {place}")
        if place == 1:
            return self._min
        if place == self._count:
            return self._max
        seen = 0
        for index, number in self._filled():
            seen += number
            if seen >= place:
                return min(max(self._middle(index), self._min), self._max)
        raise AssertionError("the counts do not add up to the count")

    def buckets(self) -> list[tuple[int, int, int]]:
        """Return the filled buckets: smallest value, smallest value above it, how many."""
        return [(*_bounds(index), number) for index, number in self._filled()]

    def to_bytes(self) -> bytes:
        """Return it in a compact form: 2 kB for a million durations of one shape."""
        out = bytearray(_MAGIC)
        out.append(_VERSION)
        filled = list(self._filled())
        numbers = [self._count, self._sum, self._min if self._count else 0, self._max, len(filled)]
        before = -1
        for index, number in filled:
            numbers += (index - before, number)
            before = index
        for number in numbers:
            _put(out, number)
        out += _CRC.pack(zlib.crc32(out))
        return bytes(out)

    @classmethod
    def from_bytes(cls, data: bytes) -> "Histogram":
        """Return the histogram that `to_bytes` wrote.

        Raises:
            MalformedError: The bytes are not a histogram, or contradict themselves.
        """
        if len(data) > _MOST_BYTES:
            raise MalformedError(f"a histogram is at most {_MOST_BYTES} bytes, got {len(data)}")
        if data[: len(_MAGIC)] != _MAGIC or len(data) < _HEAD + _CRC.size:
            raise MalformedError("these bytes are no histogram")
        if data[len(_MAGIC)] != _VERSION:
            raise MalformedError(f"this is a histogram of version {data[len(_MAGIC)]}, expected {_VERSION}")
        body = data[: -_CRC.size]
        if _CRC.unpack(data[-_CRC.size :])[0] != zlib.crc32(body):
            raise MalformedError("a histogram's checksum does not match: it is damaged")
        return cls._read(iter(body[_HEAD:]))

    @classmethod
    def _read(cls, data: Iterator[int]) -> "Histogram":
        made = cls()
        count, total, least, most, filled = (_take(data) for _ in range(5))
        if filled > _BUCKETS or count > _MOST:
            raise MalformedError("a histogram claims more than it can hold")
        place, seen = -1, 0
        for _ in range(filled):
            gap, number = _take(data), _take(data)
            place, seen = place + gap, seen + number
            if gap < 1 or number < 1 or place >= _BUCKETS or seen > count:
                raise MalformedError("a histogram's buckets do not add up")
            made._counts[place] = number
        if next(data, None) is not None or seen != count:
            raise MalformedError("a histogram's buckets do not add up")
        if count:
            first = next(made._filled())[0]
            if least > most or _index(least) != first or _index(most) != place:
                raise MalformedError("a histogram's smallest or largest value is in none of its buckets")
            if not count * least <= total <= count * most:
                raise MalformedError("a histogram's sum is not between its smallest and largest values")
            made._count, made._sum, made._min, made._max = count, total, least, most
        elif total or least or most:
            raise MalformedError("an empty histogram has no sum, smallest or largest value")
        return made

    def to_text(self) -> str:
        """Return `to_bytes` as text for a JSON document."""
        return base64.b64encode(self.to_bytes()).decode("ascii")

    @classmethod
    def from_text(cls, text: str) -> "Histogram":
        """Return the histogram that `to_text` wrote. Raises MalformedError when the text is none."""
        try:
            data = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MalformedError(f"a histogram's text is not base64: {error}") from error
        return cls.from_bytes(data)

    def __eq__(self, other: object) -> bool:
        """Tell whether both count the same durations alike."""
        return isinstance(other, Histogram) and self.to_bytes() == other.to_bytes()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        """Return its count and extremes."""
        if not self._count:
            return "Histogram(empty)"
        return f"Histogram({self._count} durations, {self._min} to {self._max} ns)"

    def _filled(self) -> Iterator[tuple[int, int]]:
        for index, number in enumerate(self._counts):
            if number:
                yield index, number

    @staticmethod
    def _middle(index: int) -> float:
        low, above = _bounds(index)
        return (low + above - 1) / 2

    def _some(self, value: int) -> int:
        if not self._count:
            raise ValueError("an empty histogram has no figures")
        return value


def _put(out: bytearray, number: int) -> None:
    while number > 0x7F:  # noqa: PLR2004 seven bits a byte
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)


def _take(data: Iterator[int]) -> int:
    number = 0
    for shift in range(0, _VARINT_BITS, 7):
        byte = next(data, None)
        if byte is None:
            raise MalformedError("a histogram ends too early")
        number |= (byte & 0x7F) << shift
        if byte < 0x80:  # noqa: PLR2004 the last byte of a number
            if byte == 0 and shift:
                raise MalformedError("a histogram writes a number with more bytes than it takes")
            return number
    raise MalformedError("a histogram holds a number that is too large")
