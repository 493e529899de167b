"""Whatever is done to an object, the linker links it or refuses it: no other exception, no endless loop."""

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from bpf_objects import BpfObject
from slotzero.errors import MalformedError
from slotzero.localnet.programs.link import link

GOOD = BpfObject().pack()
_damage = st.lists(st.tuples(st.integers(0, len(GOOD) - 1), st.integers(0, 255)), min_size=1, max_size=8)


@settings(max_examples=1_500, deadline=None, derandomize=True, database=None)
@given(damage=_damage, length=st.one_of(st.just(len(GOOD)), st.integers(0, len(GOOD))))
def test_damaged_object_is_linked_or_refused(damage: list[tuple[int, int]], length: int) -> None:
    raw = bytearray(GOOD)
    for at, value in damage:
        raw[at] = value
    with suppress(MalformedError):
        link(bytes(raw[:length]))
