"""Never more places than a limit has, however readers and writers of many processes take turns."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from taskscheduler.model.control.keys import free_number, place, place_number

MORE = settings(max_examples=500, deadline=None)

KEY = "limit:a"


@dataclass
class Reader:
    """A process on its way to a place: it reads one entry of the index after the other, then writes."""

    concurrency: int
    at: str = ""  #: the last entry that it has read
    seen: list[str] = field(default_factory=list)

    def read_on(self, taken: set[str]) -> bool:
        """Reads the next entry that is there by now; False at the end of the index."""
        entry = min((name for name in taken if name > self.at), default=None)
        if entry is None:
            return False
        self.seen.append(entry)
        self.at = entry
        return True


class Index:
    """The unique index of places, and those who read and write there."""

    def __init__(self, concurrency: int, older: set[str]) -> None:
        self.concurrency, self.taken = concurrency, set(older)
        self.readers: list[Reader] = []

    def begin(self) -> None:
        self.readers.append(Reader(self.concurrency))

    def step(self, which: int) -> None:
        """Lets one reader read an entry, or write when it has read all."""
        if not self.readers:
            return
        reader = self.readers[which % len(self.readers)]
        if reader.read_on(self.taken):
            return
        self.readers.remove(reader)
        number = free_number(reader.seen, KEY, reader.concurrency)
        if number is not None:
            self.taken.add(place(KEY, number))  # refused if another has it: a set is a unique index
            assert number < reader.concurrency

    def act(self, what: str, which: int) -> None:
        if what == "begin":
            self.begin()
        elif what == "step":
            self.step(which)
        else:
            self.free(which)

    def free(self, which: int) -> None:
        if self.taken:
            self.taken.remove(sorted(self.taken)[which % len(self.taken)])


steps = st.lists(
    st.one_of(
        st.just(("begin", 0)),
        st.tuples(st.just("step"), st.integers(0, 7)),
        st.tuples(st.just("step"), st.integers(0, 7)),
        st.tuples(st.just("free"), st.integers(0, 7)),
    ),
    max_size=60,
)

#: places that were taken under other limits: numbers, also large ones, and those of jobs that came when none was set
held_before = st.sets(st.one_of(st.integers(0, 9), st.sampled_from([f"{n:024x}" for n in range(3)])), max_size=6)


@MORE
@given(st.integers(0, 5), held_before, steps)
def test_a_limit_is_never_exceeded_by_those_who_know_it(
    concurrency: int, before: set[int | str], story: list[tuple[str, int]]
) -> None:
    index = Index(concurrency, {place(KEY, one) for one in before})
    for what, which in story:
        held = len(index.taken)
        index.act(what, which)
        assert len(index.taken) <= max(concurrency, held), "above the limit, places only become free"


@MORE
@given(st.integers(1, 5), st.integers(1, 5), steps, steps)
def test_a_limit_that_was_changed_is_kept_once_all_know_the_new_one(
    before: int, after: int, first: list[tuple[str, int]], then: list[tuple[str, int]]
) -> None:
    index = Index(before, set())
    for what, which in first:
        index.act(what, which)
    index.readers.clear()
    index.concurrency = after
    for what, which in then:
        held = len(index.taken)
        index.act(what, which)
        assert len(index.taken) <= max(after, held)


@MORE
@given(st.integers(1, 6), st.sets(st.integers(0, 9), max_size=6))
def test_a_place_is_found_whenever_fewer_are_taken(concurrency: int, numbers: set[int]) -> None:
    taken = [place(KEY, number) for number in numbers]
    number = free_number(taken, KEY, concurrency)
    assert (number is None) == (len(numbers) >= concurrency)
    assert number not in {place_number(KEY, name) for name in taken}
