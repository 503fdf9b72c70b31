"""What a node makes of jobs of which it hears while they are being stored."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from bson import ObjectId
from tests.support.eventually import eventually
from tests.unit.node.fakes import NOTHING_COMES, FakeComing, FakeStore, Threads

from taskscheduler_daemon.node import early_listener
from taskscheduler_daemon.node.claiming.search import Search
from taskscheduler_daemon.node.early_listener import EarlyListener


class Bench:
    """A listener that runs, and what it has told the claimer."""

    def __init__(self) -> None:
        self.search, self.threads = Search([]), Threads()
        self.hints: list[tuple[list[ObjectId], list[str], bool, bool]] = []
        claimer = cast(Any, SimpleNamespace(hint=self._hint))
        self.listener = EarlyListener(FakeStore().store, self.search, claimer, self.threads)
        self.messages = cast(FakeComing, self.listener._coming)

    def _hint(self, ids: list[ObjectId], queues: list[str], forced: bool, later: bool) -> None:
        self.hints.append((ids, queues, forced, later))


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(early_listener, "ComingJobs", FakeComing)
    return Bench()


def test_a_coming_job_is_claimed_by_its_id(bench: Bench) -> None:
    one = ObjectId()
    bench.listener.start()
    bench.messages.coming.put(([one], ["mail"]))
    eventually(lambda: bench.hints == [([one], ["mail"], False, False)], 10, "the claimer knows it")
    bench.listener.stop()


def test_a_message_without_jobs_starts_no_search(bench: Bench) -> None:
    bench.listener.start()
    bench.messages.coming.put(NOTHING_COMES)
    bench.listener.stop()
    assert bench.hints == []


def test_while_jobs_are_searched_for_anyway_nobody_follows_the_messages(bench: Bench) -> None:
    bench.search.idle.clear()
    bench.messages.coming.put(([ObjectId()], ["mail"]))
    bench.listener.start()
    eventually(lambda: bench.messages.rests > 0, 10, "the cursor is closed")
    assert bench.hints == []
    bench.search.idle.set()
    eventually(lambda: len(bench.hints) == 1, 10, "it is followed again")
    bench.listener.stop()
