"""Result files: what `bench` and `load` write, and what is compared, reported and kept.

A file says which version of the schema it has. Within a version fields are only added, so a file with more or fewer of
them still loads; an older version is brought up to date on reading (`_UPGRADES`), a newer one is refused. A file is
written whole or not at all; what is no regular file (a device, a pipe) is written into and never replaced.

::

    slotzero.result/0   development versions: no `kind`, no tag of the outcome, no histogram, `latency` for `latency_ms`
    slotzero.result/1   now
"""

import os
import re
import stat
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct, field

from slotzero.errors import MalformedError, UsageError
from slotzero.perf.environment import Passport
from slotzero.perf.histogram import Histogram
from slotzero.perf.types import PERCENTILES, BenchmarkOutcome, BenchmarkResult, LatencyStats

__all__ = [
    "SCHEMA",
    "ResultDocument",
    "baseline_path",
    "benchmark_document",
    "decode_document",
    "encode_document",
    "read_result_file",
    "require_writable",
    "write_result_file",
]

_NAME: Final = "slotzero.result/"
_VERSION: Final = 1
SCHEMA: Final = f"{_NAME}{_VERSION}"
_MOST_BYTES: Final = 256_000_000
_MOST_MS: Final = (2**63 - 1) / 1_000_000
"""No histogram holds a longer time."""
_MOST_TS_MS: Final = 253_402_300_799_999
"""The end of the year 9999: the last that has a date."""
_BASELINE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class ResultDocument(Struct, frozen=True, kw_only=True):
    """One result file.

    Attributes:
        environment: Where it was measured.
        results: Of kind "benchmark": each benchmark's result or failure.
        other: Of any other kind: the results as they stand in the file.
        title: One line for people: what was measured, at which slot time and network profile.
        stopped: Whether the run was stopped before it was done.
    """

    kind: Literal["benchmark", "load"]
    environment: Passport
    results: tuple[BenchmarkOutcome, ...] = ()
    other: tuple[msgspec.Raw, ...] = ()
    title: str = ""
    stopped: bool = False


class _File(Struct, frozen=True, kw_only=True):
    """What stands in a file."""

    schema_: str = field(name="schema")
    kind: Literal["benchmark", "load"]
    title: str = ""
    stopped: bool = False
    environment: Passport
    results: list[msgspec.Raw]


_decode_file = msgspec.json.Decoder(_File).decode
_decode_outcome = msgspec.json.Decoder(BenchmarkOutcome).decode


def benchmark_document(
    results: Sequence[BenchmarkOutcome], environment: Passport, *, title: str = "", stopped: bool = False
) -> ResultDocument:
    """Return the document of some benchmarks. *Pure.*"""
    return ResultDocument(
        kind="benchmark", environment=environment, results=tuple(results), title=title, stopped=stopped
    )


def encode_document(document: ResultDocument) -> bytes:
    """Return a document as JSON, one line for each result. *Pure.*"""
    head = {
        "schema": SCHEMA,
        "kind": document.kind,
        "title": document.title,
        "stopped": document.stopped,
        "environment": document.environment,
    }
    lines = [b'"%b": %b' % (name.encode(), msgspec.json.encode(value)) for name, value in head.items()]
    results = [*(msgspec.json.encode(result) for result in document.results), *map(bytes, document.other)]
    return b'{%b,\n"results": [\n%b\n]}\n' % (b",\n".join(lines), b",\n".join(results))


def decode_document(data: bytes, name: str) -> ResultDocument:
    """Return the document in `data`. *Pure.*

    Args:
        data: A file's bytes.
        name: What to call the file in the text of an error.

    Raises:
        UsageError: They are no result file, are damaged, or a newer version has written them.
    """
    version = _version(data, name)
    try:
        if version < _VERSION:
            data = _upgraded(data, version)
        found = _decode_file(data)
        _require_date(found.environment)
        if found.kind != "benchmark":
            return ResultDocument(
                kind=found.kind,
                environment=found.environment,
                other=tuple(found.results),
                title=found.title,
                stopped=found.stopped,
            )
        results = tuple(_decode_outcome(result) for result in found.results)
        for result in results:
            if isinstance(result, BenchmarkResult):
                _require_whole(result)
    except (msgspec.MsgspecError, MalformedError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{name} is damaged: {error}; measure again with `slotzero bench --json FILE`") from error
    return benchmark_document(results, found.environment, title=found.title, stopped=found.stopped)


def read_result_file(path: Path) -> ResultDocument:
    """Return the document in a file. *Does I/O.*

    Raises:
        UsageError: It cannot be read, is no result file, is damaged, or a newer version has written it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > _MOST_BYTES:
        raise UsageError(f"{path} is no result file: it is larger than {_MOST_BYTES // 10**6} MB")
    return decode_document(data, str(path))


def write_result_file(path: Path, document: ResultDocument) -> None:
    """Write a document. *Does I/O.*

    A file is written in one step: whoever reads meanwhile finds the old one or the new one. Symbolic links are followed
    and stay. A device or a pipe is written into; a pipe's writer waits for somebody who reads.

    Raises:
        UsageError: It cannot be written there.
    """
    data = encode_document(document)
    try:
        if _is_replaceable(path):
            _replace(path.resolve(), data)
        else:
            # As it is called, not as it resolves: /dev/stdout resolves to what cannot be opened by that name.
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_NOCTTY), "wb") as file:
                file.write(data)
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error


def require_writable(path: Path) -> None:
    """Find out before a long measurement whether a file can be written there. *Does I/O.*

    Raises:
        UsageError: It cannot, as far as that can be known.
    """
    if path.is_dir():
        raise UsageError(f"{path} cannot be written: it is a folder")
    try:
        is_replaceable = _is_replaceable(path)
        folder = path.resolve().parent if path.is_symlink() else path.parent
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror or error}") from error
    if not is_replaceable:
        if not os.access(path, os.W_OK):
            raise UsageError(f"{path} cannot be written: you may not write into it")
        return
    if not folder.is_dir():
        raise UsageError(f"{path} cannot be written: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise UsageError(f"{path} cannot be written: nothing may be written in {folder}")


def baseline_path(name: str) -> Path:
    """Return where the baseline of that name is kept: in the user's state folder.

    Raises:
        UsageError: The name is not fit for a file.
    """
    if not _BASELINE_NAME.fullmatch(name):
        raise UsageError(f"a baseline's name has 1 to 64 letters, digits, dots, dashes and underscores, got {name!r}")
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "slotzero" / "baselines" / f"{name}.json"


# ---- writing -------------------------------------------------------------------------------------------------------


def _is_replaceable(path: Path) -> bool:
    """Tell whether another file may take the place of what a path leads to: of a regular file, or of none yet."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return True


def _replace(place: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=place.parent, prefix=f".{place.name}.", delete=False) as file:
        file.write(data)
    made = Path(file.name)
    made.chmod(0o666 & ~_umask())
    made.replace(place)


# ---- reading -------------------------------------------------------------------------------------------------------


class _Head(Struct):
    schema: str = ""


def _version(data: bytes, name: str) -> int:
    """Return which version of the schema some bytes claim to have."""
    try:
        schema = msgspec.json.decode(data, type=_Head).schema
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{name} is no result file of slotzero, or is damaged: {error}") from error
    number = schema.removeprefix(_NAME)
    if not schema.startswith(_NAME) or not number.isascii() or not number.isdigit():
        said = f'its schema is "{schema[:40]}"' if schema else "it names no schema"
        raise UsageError(f"{name} is no result file of slotzero: {said}, expected {SCHEMA}")
    if len(number) > 4 or int(number) > _VERSION:  # noqa: PLR2004 no version has that many digits
        raise UsageError(f"{name} has schema {_NAME}{number[:8]}, this slotzero reads up to {SCHEMA}; update slotzero")
    return int(number)


def _require_whole(result: BenchmarkResult) -> None:
    for stats in (result.latency_ms, result.own_ms, result.waited_ms):
        if stats is not None:
            _require_possible(result.name, stats)
    histogram = Histogram.from_text(result.histogram)
    if histogram.count not in (0, result.latency_ms.count):
        raise MalformedError(
            f"the histogram of {result.name} holds {histogram.count} samples, its figures speak of "
            f"{result.latency_ms.count}"
        )


def _require_date(environment: Passport) -> None:
    if not 0 <= environment.ts_ms <= _MOST_TS_MS:
        raise MalformedError(f"its time of {environment.ts_ms} ms since 1970 is no date")


def _require_possible(name: str, stats: LatencyStats) -> None:
    """Refuse figures that no clock gives: they would end in errors of arithmetic wherever they are used."""
    bounds = [bound for pair in stats.intervals.values() if pair is not None for bound in (pair.low, pair.high)]
    points = [float(getattr(stats, point)) for point in ("min", "max", "mean", *PERCENTILES)]
    if not all(0 <= figure <= _MOST_MS for figure in (*points, *bounds)):
        raise MalformedError(f"the latencies of {name} must be from 0 to {_MOST_MS:.0f} ms")
    if any(pair is not None and pair.low > pair.high for pair in stats.intervals.values()):
        raise MalformedError(f"an interval of {name} ends below its beginning")


def _upgraded(data: bytes, version: int) -> bytes:
    document = msgspec.json.decode(data, type=dict[str, Any])
    for step in range(version, _VERSION):
        _UPGRADES[step](document)
    return msgspec.json.encode(document)


def _from_0(document: dict[str, Any]) -> None:
    """Bring a document of a development version up to version 1."""
    document["schema"] = SCHEMA
    document.setdefault("kind", "benchmark")
    results = document.get("results")
    if not isinstance(results, list):
        raise MalformedError("`results` must be a list")
    for result in results:
        if not isinstance(result, dict):
            raise MalformedError("each of `results` must be an object")
        result.setdefault("outcome", "measured")
        result.setdefault("name", result.get("component") or "")
        result.setdefault("histogram", Histogram().to_text())
        if "latency" in result:
            result["latency_ms"] = result.pop("latency")
        latency = result.get("latency_ms")
        if isinstance(latency, dict):
            latency.setdefault("count", result.get("samples"))
            latency.setdefault("std_dev", None)


_UPGRADES: Final[dict[int, Callable[[dict[str, Any]], None]]] = {0: _from_0}


def _umask() -> int:
    """Return the process's file mode mask; there is no way to read it but to set it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
