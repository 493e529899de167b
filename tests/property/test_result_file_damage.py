"""A result file damaged in any way loads as what it says, or is refused in one sentence; nothing else may happen."""

import asyncio
import json
from functools import cache
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from slotzero.errors import UsageError
from slotzero.perf import BenchmarkOptions, BenchmarkService
from slotzero.perf.environment import passport
from slotzero.perf.result_file import benchmark_document, decode_document, encode_document

leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=20))
anything = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)


@cache
def a_file() -> bytes:
    options = BenchmarkOptions(name="measured", samples=8, warmup=1)
    outcome = asyncio.run(BenchmarkService().run(lambda: None, options))
    return encode_document(benchmark_document([outcome], passport(), title="one"))


def loads_or_says_why(data: bytes) -> None:
    told = ""
    try:
        document = decode_document(data, "damaged.json")
    except UsageError as error:
        told = str(error)
    else:
        assert decode_document(encode_document(document), "again.json") == document
    assert not told or told.startswith("damaged.json ")
    assert "\n" not in told


@given(st.data())
def test_changed_bytes(data: st.DataObject) -> None:
    raw = bytearray(a_file())
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    loads_or_says_why(bytes(raw))


@given(st.data())
def test_removed_and_inserted_bytes(data: st.DataObject) -> None:
    raw = a_file()
    start = data.draw(st.integers(0, len(raw)))
    end = data.draw(st.integers(start, len(raw)))
    loads_or_says_why(raw[:start] + data.draw(st.binary(max_size=20)) + raw[end:])


@given(st.data())
def test_values_of_another_kind(data: st.DataObject) -> None:
    document: dict[str, Any] = json.loads(a_file())
    inner: Any = document
    while True:
        place = data.draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
        if not isinstance(inner[place], dict | list) or not inner[place] or data.draw(st.booleans()):
            break
        inner = inner[place]
    inner[place] = data.draw(anything)
    loads_or_says_why(json.dumps(document).encode())


@given(anything)
def test_documents_of_strangers(document: object) -> None:
    loads_or_says_why(json.dumps(document).encode())
