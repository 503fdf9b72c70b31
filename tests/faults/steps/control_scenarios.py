"""What happens to jobs under limits and in sequences while the fault strikes; see `scenarios.py`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from taskscheduler import Status
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.system.kill import kill
from tests.faults.steps.acting import Actor
from tests.faults.steps.scenarios import Change, Scenario
from tests.faults.steps.stage import Stage, healed
from tests.support.eventually import eventually
from tests.support.jobs import traces
from tests.support.nodes import is_running

_TWO_WORKERS: Mapping[str, Any] = {"min_children": 2}


def _span(stage: Stage, **options: Any) -> Any:
    """Add a job that shows when it is at work; the id."""
    data: dict[str, Any] = {name: options.pop(name) for name in ("fails", "until") if name in options}
    data["trace"] = stage.log
    return stage.scheduler.add_job("span", data, options).id


def _limited(most: int, count: int, **first: Any) -> Callable[[Stage], None]:
    """So many jobs under a limit; the first of them with more options."""

    def prepare(stage: Stage) -> None:
        stage.scheduler.limits.set("x", concurrency=most)
        stage.memory |= {"most": most, "job": _span(stage, limits="x", **first)}
        for _ in range(count - 1):
            _span(stage, limits="x")

    return prepare


def _free_limit(stage: Stage) -> None:
    stage.scheduler.limits.set("x", concurrency=1)
    stage.memory["most"] = 1


def _one_runs_and_one_waits(stage: Stage) -> None:
    _limited(1, 2, until=f"{stage.directory}/release")(stage)


def _release(stage: Stage) -> None:
    (stage.directory / "release").touch()


def _runs(stage: Stage, node: Actor) -> bool:
    eventually(lambda: node.ended or traces(stage.log), 20, "it runs")
    return not node.ended


def _cancel(stage: Stage, node: Actor) -> None:
    _runs(stage, node)
    stage.scheduler.cancel_job(stage.memory["job"])


def _kill_the_worker(stage: Stage, node: Actor) -> None:
    if _runs(stage, node) and len(traces(stage.log)) == 1:
        kill(int(traces(stage.log)[0][2]))
        eventually(lambda: node.ended or len(traces(stage.log)) > 1, 20, "it runs again")
        _release(stage)


def _ended(**counts: int) -> Callable[[Stage], bool]:
    wanted = {Status[name.upper()]: count for name, count in counts.items()}
    return lambda stage: stage.statuses() == wanted


def _gone(stage: Stage) -> bool:
    killed = [words for words in traces(stage.log) if words[0] == str(stage.memory["job"])]
    return stage.statuses() == {Status.CANCELED: 1, Status.DONE: 1} and not any(is_running(int(w[2])) for w in killed)


def _sequence(**first: Any) -> Callable[[Stage], None]:
    """Two jobs, of which the first one fails whatever happens, after a try."""

    def prepare(stage: Stage) -> None:
        failing = {"fails": 1000, "retry": 1, "retry_interval": 0.05, **first}
        stage.memory |= {"order": [_span(stage, sequence="s", **failing), _span(stage, sequence="s")], "most": 1}

    return prepare


def _over_when_released(stage: Stage) -> bool:
    """Somebody releases the sequence when it is blocked."""
    if stage.scheduler.sequences.blocked():
        assert stage.statuses()[Status.DONE] == 0
        stage.scheduler.sequences.release("s")
    return stage.statuses() == {Status.FAILED: 1, Status.DONE: 1}


CONTROLLED: Mapping[str, Scenario] = {
    "limit": Scenario(_limited(1, 2, fails=1, retry=1, retry_interval=0.05), _ended(done=2), facts=_TWO_WORKERS),
    "cancel what holds a place": Scenario(_one_runs_and_one_waits, _gone, _cancel, facts=_TWO_WORKERS),
    "a worker dies under a limit": Scenario(
        _one_runs_and_one_waits, _ended(done=2), _kill_the_worker, _release, facts=_TWO_WORKERS, loses=True
    ),
    "sequence": Scenario(_sequence(), _ended(failed=1, done=1), facts=_TWO_WORKERS),
    "sequence that is blocked": Scenario(
        _sequence(sequence_on_failure="block", retry=0), _over_when_released, facts=_TWO_WORKERS
    ),
}


# -- what applications do ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ControlChange(Change):
    """What an application does to limits and sequences, or under them."""

    most: int | None = None  #: how many may be at work when it was acknowledged; None: as many as before
    ends: Mapping[Status, int] = field(default_factory=lambda: {Status.DONE: 3})

    def verify(self, stage: Stage) -> None:
        """A caller who got no answer looks whether it is done. For the rest nobody but a node cares."""
        known = bool(stage.acknowledged)
        if self.what == "cancel" and not stage.statuses()[Status.CANCELED]:
            assert not known
            stage.scheduler.cancel_job(stage.memory["job"])
        if self.what == "release" and stage.scheduler.sequences.blocked():
            assert not known
            stage.scheduler.sequences.release("s")
        wanted = Counter(self.ends)
        if self.what == "add_span" and stage.statuses().total() < wanted.total():
            assert not known
            wanted[Status.DONE] -= 1
        if self.most is not None:
            stage.memory["most"] = self.most if known else max(stage.memory["most"], self.most)
        healed(stage, lambda stage: stage.statuses() == wanted, {"min_children": 3})
        stage.verify()


def _blocked_sequence(stage: Stage) -> None:
    _sequence(sequence_on_failure="block", retry=0)(stage)
    with InlineNode(stage.scheduler) as node:
        node.run_until_idle()
    assert stage.scheduler.sequences.blocked()


CHANGES: Mapping[str, ControlChange] = {
    "add under a free limit": ControlChange(
        "add_span", _free_limit, {"options": {"limits": "x"}}, ends={Status.DONE: 1}
    ),
    "add under a full limit": ControlChange("add_span", _limited(1, 2), {"options": {"limits": "x"}}),
    "raise a limit": ControlChange("set_limit", _limited(1, 3), {"most": 3}, most=3),
    "lower a limit": ControlChange("set_limit", _limited(3, 3), {"most": 1}, most=1),
    "delete a limit": ControlChange("delete_limit", _limited(1, 3), most=3),
    "cancel what has a place": ControlChange("cancel", _limited(1, 3), ends={Status.CANCELED: 1, Status.DONE: 2}),
    "release a sequence": ControlChange("release", _blocked_sequence, ends={Status.FAILED: 1, Status.DONE: 1}),
}
