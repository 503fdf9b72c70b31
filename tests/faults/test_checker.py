"""The checker of the fault kit finds every broken promise in a history, and none in one where all were kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.faults import checks, process_faults, report, schedules, server_faults
from tests.faults.checker import Facts
from tests.faults.plan import PROCESS_FAULTS, SERVER_FAULTS, plan

NOW = datetime(2026, 1, 1, tzinfo=UTC)
Event = dict[str, Any]
Document = dict[str, Any]


class Story:
    """A short history of one job that went well, to be told otherwise."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.documents: dict[str, Document] = {}
        self._time = 0.0
        self._number = 0

    def tell(self, what: str, after: float = 0.1, **facts: Any) -> Event:
        self._time += after
        event = {"what": what, "t": self._time, "pid": 1, **facts}
        self.events.append(event)
        return event

    def add(self, job: str = "j", expected: str = "done", acked: bool = True, **fields: Any) -> Document:
        self.tell("add", ids=[job], expected=expected)
        self.change(job, "insert", status=0, attempt=0, **fields)
        if acked:
            self.tell("acked", ids=[job])
        options = {"retry": 0, "timeout": 0, "interval": 0}
        self.documents[job] = {"status": 0, "attempt": 0, "retries": 0, "lost": 0, "data": None, "options": options}
        self.documents[job] |= {"at": NOW, "started": None}
        return self.documents[job]

    def change(self, job: str, op: str = "update", unset: Sequence[str] = (), **fields: Any) -> None:
        self._number += 1
        self.tell("change", n=self._number, op=op, job=job, set=fields, unset=list(unset))
        if "status" in fields:
            attempt = fields.get("attempt", self.documents.get(job, {}).get("attempt", 0))
            self.tell("heard", job=job, status=fields["status"], attempt=attempt)
        if op == "update":
            self.documents[job] |= {name: fields[name] for name in fields if name in ("status", "attempt", "lost")}

    def claim(self, job: str = "j", attempt: int = 1) -> None:
        self.change(job, status=2, attempt=attempt)
        self.documents[job]["started"] = NOW + timedelta(seconds=1)

    def run(self, job: str = "j", attempt: int = 1, pid: int = 10, seconds: float = 0.1) -> None:
        self.tell("start", job=job, attempt=attempt, pid=pid, manager=5)
        self.tell("end", seconds, job=job, attempt=attempt, pid=pid, manager=5, how="done")

    def finish(self, job: str = "j", status: int = 3, attempt: int = 1) -> None:
        self.change(job, status=status, ended="now")
        self.tell("recorded", ends=[[job, attempt, status]])

    def whole(self, job: str = "j", **fields: Any) -> Document:
        """Added, claimed, run and finished."""
        document = self.add(job, **fields)
        self.claim(job)
        self.run(job)
        self.finish(job)
        return document

    @property
    def facts(self) -> Facts:
        return Facts(self.events, self.documents)


@pytest.fixture
def story() -> Story:
    story = Story()
    story.tell("listening")
    return story


def broken(story: Story) -> set[str]:
    return {violation.rule for violation in checks.violations(story.facts)}


# -- histories in which all promises were kept ------------------------------------------------------------------------


def test_a_job_that_goes_well_breaks_nothing(story: Story) -> None:
    story.whole()
    assert broken(story) == set()
    assert checks.counts(story.facts) | {"acked": 1, "lost": 0, "done": 1} == checks.counts(story.facts)


def test_an_uncertain_add_may_be_stored_or_not(story: Story) -> None:
    story.tell("add", ids=["gone"], expected="done")
    story.tell("unknown", ids=["gone"], why="DatabaseError: refused")
    story.whole(acked=False)
    story.tell("unknown", ids=["j"], why="DatabaseUnavailableError: cut")
    assert broken(story) == set()
    counted = checks.counts(story.facts)
    assert (counted["unknown"], counted["recovered"]) == (2, 1)


def test_a_job_of_a_lost_worker_runs_twice(story: Story) -> None:
    story.add()
    story.claim()
    story.tell("start", job="j", attempt=1, pid=10, manager=5)
    story.change("j", status=0, rearmed="1:", lost=1)
    story.claim(attempt=2)
    story.run(attempt=2, pid=11)
    story.finish(attempt=2)
    assert broken(story) == set()
    assert checks.counts(story.facts)["run twice"] == 1


def test_a_worker_may_die_before_the_first_line_of_the_job_that_it_has_begun(story: Story) -> None:
    story.add()
    story.claim()
    story.tell("begin", job="j", attempt=1)
    story.change("j", status=0, rearmed="1:", lost=1)
    story.claim(attempt=2)
    story.run(attempt=2)
    story.finish(attempt=2)
    assert broken(story) == set()


def test_an_attempt_that_did_not_begin_gives_its_number_back(story: Story) -> None:
    story.add()
    story.claim()
    story.change("j", status=0, attempt=0)
    story.claim()
    story.run()
    story.finish()
    assert broken(story) == set()


def test_a_frozen_holder_may_overlap_until_it_is_killed(story: Story) -> None:
    frozen_holder(story, thawed_for=0.3)
    assert broken(story) == set()
    assert checks.counts(story.facts)["overlapped"] == 1


def test_a_job_that_puts_itself_off_breaks_nothing(story: Story) -> None:
    snoozed(story)
    assert broken(story) == set()


def test_steps_and_signals_that_are_kept_break_nothing(story: Story) -> None:
    frozen = ("ran", 1, None), ("ran", 2, None), ("known", 2, 7), ("ran", 1, None)  # its holder was frozen meanwhile
    stepped(story, *frozen, ("known", 3, 7))
    assert broken(story) == set()


def test_a_node_may_claim_what_comes_next_in_a_flow_without_a_wait(story: Story) -> None:
    postponed(story)["flow"] = {"id": "f"}
    story.claim()
    story.run()
    story.finish()
    assert broken(story) == set()


def test_flows_and_transactions_that_are_kept_break_nothing(story: Story) -> None:
    flowed(story)
    paid(story, 1)
    ordered(story, 1)
    assert broken(story) == set()


def test_a_try_and_a_start_in_time_break_nothing(story: Story) -> None:
    tried_again(story, 0.6)
    assert broken(story) == set()
    hurried(story, 0.9, "other")
    assert broken(story) == set()


def test_a_schedule_with_one_run_for_each_time(story: Story) -> None:
    scheduled(story, 0, 1, 2)
    assert broken(story) == set()


def test_a_missed_time_may_be_left_out_where_the_schedule_says_so(story: Story) -> None:
    scheduled(story, 0, 2, name=schedules.LATEST, late=9.1)
    assert broken(story) == set()
    assert checks.counts(story.facts)["times left out"] == 1


def test_a_series_of_two_runs(story: Story) -> None:
    series(story, [0, 1])
    assert broken(story) == set()


def test_a_failed_child_fails_its_parent(story: Story) -> None:
    story.add("parent", expected="failed")
    story.claim("parent")
    story.add("child", expected="failed", parent="parent")
    story.claim("child")
    story.finish("child", status=4)
    story.change("parent", status=4)
    story.change("child", pending=[])
    assert broken(story) == set()


def frozen_holder(story: Story, thawed_for: float, frozen: bool = True) -> None:
    """Attempt 1 is frozen beyond its lease, attempt 2 begins, attempt 1 goes on for a while."""
    story.add()
    story.claim()
    story.tell("start", job="j", attempt=1, pid=10, manager=5)
    if frozen:
        story.tell("pause", pids=[10, 5])
    story.change("j", status=0, rearmed="1:", lost=1)
    story.claim(attempt=2)
    story.tell("start", 3.0, job="j", attempt=2, pid=11, manager=6)
    if frozen:
        story.tell("resume", pids=[10, 5])
    story.tell("beat", thawed_for, job="j", attempt=1, pid=10, manager=5)
    story.tell("end", 2.0, job="j", attempt=2, pid=11, manager=6, how="done")
    story.finish(attempt=2)


def series(story: Story, numbers: list[int]) -> None:
    for place, number in enumerate(numbers):
        document = story.whole(f"s{place}", series="s0", seq=number)
        document |= {"series": "s0", "seq": number}


def two_turns(story: Story, program: bool = False, frozen: bool = False) -> None:
    """Two jobs of one key, of which the first one goes on while the second one runs."""
    for job in ("a", "b"):
        story.add(job, expected="any")["solo"] = "key"
        story.claim(job)
    if program:
        story.documents["a"] |= {"program": {}}
        story.documents["a"]["options"] |= {"silence_timeout": 2}
    story.tell("start", job="a", attempt=1, pid=10, manager=5)
    if frozen:
        story.tell("pause", pids=[10])
    story.tell("start", 3.0, job="b", attempt=1, pid=11, manager=6)
    if frozen:
        story.tell("resume", pids=[10])
    story.tell("beat", job="a", attempt=1, pid=10, manager=5)
    for job in ("a", "b"):
        story.finish(job)


def test_a_frozen_holder_of_a_key_may_overlap_until_it_is_killed(story: Story) -> None:
    two_turns(story, frozen=True)
    assert broken(story) == set()


def at_work(story: Story, *jobs: str, frozen: bool = False, **fields: Any) -> None:
    """Jobs under the same controls, each of which begins while those before it run; the first may be frozen then."""
    story.tell("limit", name="two", concurrency=2)
    for number, job in enumerate(jobs):
        story.add(job).update(fields)
        story.claim(job)
        story.tell("start", job=job, attempt=1, pid=10 + number, manager=5 + number)
        if frozen and not number:
            story.tell("pause", pids=[10])
    if frozen:
        story.tell("resume", pids=[10])
    for number, job in enumerate(jobs):
        story.tell("end", job=job, attempt=1, pid=10 + number, manager=5 + number, how="done")
        story.finish(job)


def test_as_many_jobs_as_a_limit_allows_break_nothing(story: Story) -> None:
    at_work(story, "a", "b", limits=["two"])
    at_work(story, "c", "d", "e", limits=["of nobody"])
    assert broken(story) == set()


def test_a_frozen_job_of_a_limit_may_be_one_too_many_until_it_is_killed(story: Story) -> None:
    at_work(story, "a", "b", "c", limits=["two"], frozen=True)
    assert broken(story) == set()


def in_sequence(story: Story, *jobs: str, status: int = 3, **options: Any) -> None:
    """Jobs of a sequence, added in the order of their names and run in that of the arguments; the first ends so."""
    for job in sorted(jobs):
        document = story.add(job, expected="any")
        document["sequence"] = "s"
        document["options"] |= options
    for job in jobs:
        story.claim(job)
        story.run(job)
        story.finish(job, status if job == jobs[0] else 3)


def released(story: Story, **told: str) -> None:
    """A job that blocks its sequence has failed, somebody releases it, and the next one runs."""
    in_sequence(story, "a", "b", status=4, sequence_on_failure="block")
    began = next(event["t"] for event in story.events if event["what"] == "start" and event["job"] == "b")
    for what, key in told.items():
        story.tell(what, key=key, call="1")
        story.events[-1]["t"] = began - 0.01


def test_jobs_of_a_sequence_in_their_order_break_nothing(story: Story) -> None:
    in_sequence(story, "a", "b", "c", status=4)
    assert broken(story) == set()


def test_jobs_that_were_added_at_the_same_time_have_no_order(story: Story) -> None:
    in_sequence(story, "b", "a")
    for event in story.events:
        if event["what"] == "acked":
            event["t"] = story.events[-1]["t"]
    assert broken(story) == set()


def test_a_sequence_that_was_released_goes_on(story: Story) -> None:
    released(story, release="s", released="s")
    assert broken(story) == set()


def test_who_releases_a_sequence_may_die_meanwhile(story: Story) -> None:
    released(story, release="s")
    assert broken(story) == set()


def test_a_job_that_a_control_keeps_back_after_all_breaks_nothing(story: Story) -> None:
    story.add("j")["limits"] = ["l"]
    story.change("j", status=1)
    story.claim()
    story.change("j", status=1, attempt=0)
    story.change("j", status=0)
    story.claim()
    story.run()
    story.finish()
    assert broken(story) == set()


def service(story: Story, back_after: float = 1.0) -> None:
    """A service that is lost with its node in the last fault, comes back, and is stopped."""
    story.add(expected="any")
    story.claim()
    story.tell("start", job="j", attempt=1, pid=10, manager=5)
    story.tell("over")
    story.change("j", status=1)
    story.change("j", status=0)
    story.tell("nothing", back_after)
    story.claim(attempt=2)
    story.run(attempt=2, pid=11)
    story.finish(status=5, attempt=2)
    story.tell("service", job="j")


def test_a_service_that_comes_back_breaks_nothing(story: Story) -> None:
    service(story)
    assert broken(story) == set()


def dead_program(story: Story, ended_after: float) -> None:
    """A program is killed with the last fault, and others end its record."""
    story.add(expected="any")["program"] = {}
    story.documents["j"]["options"]["silence_timeout"] = 2
    story.claim()
    story.tell("start", job="j", attempt=1, pid=10, manager=10)
    story.tell("over")
    story.tell("nothing", ended_after)
    story.finish(status=6)


def test_a_dead_program_whose_record_is_ended_breaks_nothing(story: Story) -> None:
    dead_program(story, 4.0)
    assert broken(story) == set()


# -- and one history for each way to break one ------------------------------------------------------------------------


def lose_an_acknowledged_add(story: Story) -> None:
    story.whole()
    del story.documents["j"]


def store_what_was_refused(story: Story) -> None:
    story.whole(acked=False)
    story.tell("unknown", ids=["j"], why="DatabaseError: refused")


def leave_a_job_waiting(story: Story) -> None:
    story.add()


def leave_a_debt(story: Story) -> None:
    story.whole()["pending"] = ["family"]


def run_what_nobody_added(story: Story) -> None:
    story.run("stranger")


def store_what_nobody_added(story: Story) -> None:
    story.whole()
    story.documents["stranger"] = story.documents["j"]


def finish_twice(story: Story) -> None:
    story.whole()
    story.change("j", ended="later", worker="late")


def overwrite_the_status(story: Story) -> None:
    story.whole()
    story.change("j", status=4)


def forget_what_was_recorded(story: Story) -> None:
    story.whole()
    story.documents["j"]["attempt"] = 2


def store_the_result_of_an_older_attempt(story: Story) -> None:
    story.whole()["result"] = {"data": None, "attempt": 0}


def start_an_attempt_twice(story: Story) -> None:
    story.whole()
    story.run(pid=11)


def start_an_attempt_twice_in_one_process(story: Story) -> None:
    story.whole()
    story.run(pid=10)


def count_attempts_down(story: Story) -> None:
    story.add()
    story.claim(attempt=3)
    story.run(attempt=3)
    story.finish(attempt=3)


def finish_before_it_was_claimed(story: Story) -> None:
    story.add()
    story.finish(attempt=0)


def start_early(story: Story) -> None:
    story.whole()["at"] = NOW + timedelta(seconds=2)


def retry_too_often(story: Story) -> None:
    story.whole()["retries"] = 1


def lose_a_job_too_often(story: Story) -> None:
    story.whole()["lost"] = 4


def fail_a_job_that_should_be_done(story: Story) -> None:
    story.add()
    story.claim()
    story.run()
    story.finish(status=4)


def poison_a_job_too_early(story: Story) -> None:
    fail_a_job_that_should_be_done(story)
    story.documents["j"] |= {"error": {"type": "PoisonedJobError"}, "lost": 1}


def set_an_innocent_aside(story: Story) -> None:
    fail_a_job_that_should_be_done(story)
    story.documents["j"] |= {"error": {"type": "PoisonedJobError"}, "lost": 3}


def spoil_a_document(story: Story) -> None:
    document = story.whole(expected="any")
    document["error"] = {"type": "InvalidDocumentError", "message": "its field lost must be an integer, not -1"}


def charge_what_had_not_started(story: Story) -> None:
    story.add()
    story.claim()
    story.change("j", status=0, lost=1)
    story.claim(attempt=2)
    story.run(attempt=2)
    story.finish(attempt=2)


def overlap_without_a_freeze(story: Story) -> None:
    frozen_holder(story, 0.3, frozen=False)


def overlap_long_after_a_freeze(story: Story) -> None:
    frozen_holder(story, 1.5)


def skip_a_run_of_a_series(story: Story) -> None:
    series(story, [0, 2])


def double_a_run_of_a_series(story: Story) -> None:
    series(story, [0, 1, 1])


def end_a_series(story: Story) -> None:
    series(story, [0])
    story.tell("series", series="s0", advanced=False)


def two_live_runs(story: Story) -> None:
    story.add("a", series="s")
    story.add("b", series="s")


def two_live_keys(story: Story) -> None:
    story.add("a", once="key")
    story.add("b", once="key")


def finish_a_parent_whose_child_has_failed(story: Story) -> None:
    story.add("parent")
    story.claim("parent")
    story.add("child", expected="failed", parent="parent")
    story.claim("child")
    story.finish("child", status=4)
    story.change("child", pending=["hook"])
    story.finish("parent")


def start_a_cancelled_job(story: Story) -> None:
    story.add(expected="any")
    story.change("j", status=5)
    story.tell("canceled", job="j")
    story.run()


def let_a_cancelled_job_run(story: Story) -> None:
    story.add(expected="any")
    story.claim()
    story.tell("start", job="j", attempt=1, pid=10, manager=5)
    story.change("j", status=5)
    story.tell("canceled", job="j")
    story.tell("beat", 5.0, job="j", attempt=1, pid=10, manager=5)


def let_a_job_run_over_its_time(story: Story) -> None:
    story.add(expected="timeout")["options"]["timeout"] = 1
    story.claim()
    story.run(seconds=4.0)
    story.finish(status=6)


def keep_a_change_from_the_listener(story: Story) -> None:
    story.whole()
    story.events = [event for event in story.events if event["what"] != "heard" or event["status"] != 3]


def run_two_of_a_key(story: Story) -> None:
    two_turns(story)


def go_on_as_a_frozen_program(story: Story) -> None:
    two_turns(story, program=True, frozen=True)


def keep_the_place_after_the_end(story: Story) -> None:
    story.whole()["gate"] = "key"


def keep_the_turn_after_the_end(story: Story) -> None:
    story.whole().update(sequence="s", turn=1)


def keep_the_place_of_a_cancelled_job(story: Story) -> None:
    story.whole()
    story.tell("kept", job="j")


def run_three_of_a_limit_of_two(story: Story) -> None:
    at_work(story, "a", "b", "c", limits=["other", "two"])


def run_two_of_a_tenant(story: Story) -> None:
    story.tell("limit", name="tenant:*", concurrency=1)
    at_work(story, "a", "b", limits=["tenant:a"])


def run_two_of_a_sequence(story: Story) -> None:
    at_work(story, "a", "b", sequence="s")


def run_a_later_job_first(story: Story) -> None:
    in_sequence(story, "b", "a")


def run_a_later_job_of_a_batch_first(story: Story) -> None:
    run_a_later_job_first(story)
    batch = {"add": ["a", "b"], "acked": ["a", "b"]}
    story.events = [event for event in story.events if event["what"] not in batch or event["ids"] == ["a"]]
    for event in story.events:
        event |= {"ids": batch[event["what"]]} if event["what"] in batch else {}


def run_a_later_job_between_two_tries(story: Story) -> None:
    story.add("a", expected="any")["sequence"] = "s"
    story.claim("a")
    story.run("a")
    story.change("a", status=1)
    story.whole("b")["sequence"] = "s"
    story.change("a", status=0)
    story.claim("a", attempt=2)
    story.run("a", attempt=2)
    story.finish("a", attempt=2)


def go_on_after_a_failure_that_blocks(story: Story) -> None:
    released(story)


def go_on_after_the_release_of_another_sequence(story: Story) -> None:
    released(story, release="other", released="other")


def go_on_before_the_release(story: Story) -> None:
    released(story)
    story.tell("release", key="s", call="1")


def leave_a_job_parked(story: Story) -> None:
    story.add().update(blocked="limit:two", parked_at=NOW, status=1)


def leave_what_has_ended_parked(story: Story) -> None:
    story.whole()["parked_at"] = NOW


def keep_back_a_job_without_a_control(story: Story) -> None:
    story.add()
    story.change("j", status=1)


def postponed(story: Story) -> Document:
    document = story.add()
    story.change("j", "insert", status=1)
    return document


def claim_what_waits_for_its_time(story: Story) -> None:
    postponed(story)
    story.claim()


def leave_the_record_of_a_dead_program(story: Story) -> None:
    dead_program(story, 11.0)


def never_end_the_record_of_a_dead_program(story: Story) -> None:
    dead_program(story, 0.0)
    story.events = [event for event in story.events if event.get("set", {}).get("status") != 6]


def lose_a_service(story: Story) -> None:
    story.add(expected="any")
    story.tell("over")
    story.change("j", status=5)
    story.tell("service", 16.0, job="j")


def bring_a_service_back_late(story: Story) -> None:
    service(story, back_after=16.0)


def leave_a_stopped_service(story: Story) -> None:
    service(story)
    story.tell("beat", job="j", attempt=2, pid=11, manager=5)


def fail_to_stop_a_service(story: Story) -> None:
    service(story)
    story.tell("service", job="j", why="its node does not say so")


def leave_a_process(story: Story) -> None:
    story.tell("left", pids=[1])


def end_with_an_error(story: Story) -> None:
    story.tell("stopped", who="node-0", code=-9)


def crash_a_thread(story: Story) -> None:
    story.tell("log", by="node-0", text="a thread of the node ended by an exception", level="ERROR", extra={})


def scheduled(story: Story, *seconds: int, name: str = schedules.NAME, late: float = 0.1) -> None:
    """Runs of a schedule that was to run at the seconds 0 to 2, each added so late."""
    for number, second in enumerate(seconds):
        time = NOW + timedelta(seconds=second)
        story.whole(f"run-{number}", schedule=name)
        facts = {"schedule": name, "scheduled_at": time, "created": time + timedelta(seconds=late)}
        story.documents[f"run-{number}"] |= facts
    story.tell("schedule", name=name, first=str(NOW), last=str(NOW + timedelta(seconds=2)))


def leave_a_time_out(story: Story) -> None:
    scheduled(story, 0, 2)


def leave_a_time_out_that_was_not_missed(story: Story) -> None:
    scheduled(story, 0, 2, name=schedules.LATEST, late=8.9)


def leave_a_missed_time_out_that_is_to_be_made_up_for(story: Story) -> None:
    scheduled(story, 0, 2, late=60)


def leave_the_first_time_out(story: Story) -> None:
    scheduled(story, 1, 2)


def add_two_runs_for_one_time(story: Story) -> None:
    scheduled(story, 0, 1, 1, 2)


def add_a_run_for_another_time(story: Story) -> None:
    scheduled(story, 0, 1, 2, 3)


def tried_again(story: Story, after: float, **options: Any) -> None:
    """A job whose second attempt begins so many seconds after the end of the first one."""
    document = story.whole(retry=1)
    ended = NOW + timedelta(seconds=1)
    document["options"] |= {"retry": 1, "retry_interval": 0.5, **options}
    document["attempts"] = [{"attempt": 1, "status": 4, "started": NOW, "ended": ended, "error": None}]
    document["started"] = ended + timedelta(seconds=after)


def try_again_too_early(story: Story) -> None:
    tried_again(story, 0.3)


def try_again_before_the_pause_has_doubled(story: Story) -> None:
    tried_again(story, 0.6, backoff="exponential")
    document = story.documents["j"]
    first = document["attempts"][0]
    document["attempts"].append({**first, "attempt": 2, "started": document["started"], "ended": document["started"]})
    document["started"] += timedelta(seconds=0.8)


def try_again_earlier_than_the_job_asked_for(story: Story) -> None:
    tried_again(story, 0.1, retry_interval=0)
    story.documents["j"]["attempts"][0]["error"] = {"type": "Retry"}


def snoozed(story: Story, **more: Any) -> None:
    """A job that puts itself off once."""
    document = story.add()
    story.claim()
    story.tell("start", job="j", attempt=1, pid=10, manager=5)
    story.tell("end", job="j", attempt=1, pid=10, manager=5, how="JobSnoozed")
    story.change("j", status=1, rearmed="1:snoozed", snoozes=1, **more)
    story.change("j", status=0)
    story.claim(attempt=2)
    story.run(attempt=2)
    story.finish(attempt=2)
    document["snoozes"] = 1


def charge_a_snooze(story: Story) -> None:
    snoozed(story, retries=1)


def count_a_snooze_twice(story: Story) -> None:
    snoozed(story)
    story.documents["j"]["snoozes"] = 2


def stepped(story: Story, *events: tuple[str, int, Any], told: Any = None) -> None:
    """A job with a step, that is known in its first attempt and again in its second one."""
    snoozed(story)
    for what, attempt, value in events:
        story.tell(
            what, job="j", attempt=attempt, step="go" if what == "known" and told else "one", value=value, pid=10
        )
    if told is not None:
        story.tell("signalled", job="j", value=told, won=True, timed_out=False)


def run_a_known_step_again(story: Story) -> None:
    stepped(story, ("ran", 1, None), ("known", 1, 7), ("ran", 2, None), ("known", 2, 7))


def change_the_result_of_a_step(story: Story) -> None:
    stepped(story, ("ran", 1, None), ("known", 1, 7), ("known", 2, 8))


def hear_another_signal(story: Story) -> None:
    stepped(story, ("known", 2, 7), told=8)


def flowed(story: Story, *, turned: bool = False) -> None:
    """Two jobs of a flow, one after the other."""
    story.tell("flow", flow="f", jobs=["one", "two"], before={"one": ["two"]} if turned else {"two": ["one"]})
    story.whole("one")
    story.whole("two")


def begin_before_those_before(story: Story) -> None:
    flowed(story, turned=True)


def go_on_after_a_failure(story: Story) -> None:
    flowed(story)
    story.documents["one"]["status"] = 4


def store_a_part_of_a_flow(story: Story) -> None:
    flowed(story)
    del story.documents["two"]


def leave_a_flow(story: Story) -> None:
    flowed(story)
    story.tell("flow_left", flow="f", status="running")


def paid(story: Story, times: int) -> None:
    story.whole("p")["class"] = "faults.paying"
    for _ in range(times):
        story.tell("effect", job="p")


def pay_twice(story: Story) -> None:
    paid(story, 2)


def pay_never(story: Story) -> None:
    paid(story, 0)


def ordered(story: Story, times: int) -> None:
    story.tell("ordering", ids=["o"])
    story.whole("o")
    for _ in range(times):
        story.tell("order", job="o")


def add_without_the_order(story: Story) -> None:
    ordered(story, 0)


def order_without_a_job(story: Story) -> None:
    ordered(story, 1)
    del story.documents["o"]


def hurried(story: Story, after: float, job: str = "j") -> None:
    """A job that begins so many seconds after it was added, and has to within one."""
    document = story.whole(job)
    document["options"] |= {"start_by": 1}
    document |= {"created": NOW, "started": NOW + timedelta(seconds=after)}


def start_too_late(story: Story) -> None:
    hurried(story, 1.2)


def give_up_what_has_started(story: Story) -> None:
    hurried(story, 0.5)
    story.documents["j"]["error"] = {"type": "ExpiredError"}


CRIMES: list[tuple[Callable[[Story], None], str]] = [
    (lose_an_acknowledged_add, "acknowledged adds are kept"),
    (store_what_was_refused, "what is refused is not stored"),
    (leave_a_job_waiting, "every job ends"),
    (leave_a_debt, "every debt is paid"),
    (run_what_nobody_added, "nothing runs that was not added"),
    (store_what_nobody_added, "nothing appears that was not added"),
    (finish_twice, "a job is finished once"),
    (overwrite_the_status, "a job is finished once"),
    (overwrite_the_status, "statuses change by the rules"),
    (forget_what_was_recorded, "what a node recorded stays"),
    (store_the_result_of_an_older_attempt, "the result is of the last attempt"),
    (start_an_attempt_twice, "an attempt starts once"),
    (start_an_attempt_twice_in_one_process, "an attempt starts once"),
    (count_attempts_down, "attempts count up"),
    (finish_before_it_was_claimed, "statuses change by the rules"),
    (start_early, "nothing starts before its time"),
    (retry_too_often, "retries are bounded"),
    (lose_a_job_too_often, "losses are bounded"),
    (fail_a_job_that_should_be_done, "jobs end as they should"),
    (poison_a_job_too_early, "only poison is set aside"),
    (set_an_innocent_aside, "the innocent are not set aside"),
    (spoil_a_document, "no document is spoiled"),
    (charge_what_had_not_started, "what had not started is not charged"),
    (overlap_without_a_freeze, "executions do not overlap"),
    (overlap_long_after_a_freeze, "executions do not overlap"),
    (skip_a_run_of_a_series, "a series has no gap and no double"),
    (double_a_run_of_a_series, "a series has no gap and no double"),
    (end_a_series, "a series goes on"),
    (two_live_runs, "one run of a series is live"),
    (two_live_keys, "add_job_once keeps one job live"),
    (finish_a_parent_whose_child_has_failed, "a failed child fails its parent"),
    (start_a_cancelled_job, "a cancelled job never starts"),
    (let_a_cancelled_job_run, "a cancelled job is killed"),
    (let_a_job_run_over_its_time, "a timeout is kept"),
    (try_again_too_early, "pauses are kept"),
    (try_again_before_the_pause_has_doubled, "pauses are kept"),
    (try_again_earlier_than_the_job_asked_for, "pauses are kept"),
    (charge_a_snooze, "a snooze costs nothing"),
    (count_a_snooze_twice, "a snooze is counted once"),
    (run_a_known_step_again, "a step whose result is known does not run again"),
    (change_the_result_of_a_step, "a step keeps its result"),
    (hear_another_signal, "all hear the same signal"),
    (begin_before_those_before, "a job of a flow comes after those before it"),
    (go_on_after_a_failure, "what comes after a failure is cancelled"),
    (store_a_part_of_a_flow, "a flow is there as a whole"),
    (leave_a_flow, "every flow ends"),
    (pay_twice, "an effect exists exactly once"),
    (pay_never, "an effect exists exactly once"),
    (add_without_the_order, "a job exists exactly if its transaction has committed"),
    (order_without_a_job, "a job exists exactly if its transaction has committed"),
    (start_too_late, "nothing starts too late"),
    (give_up_what_has_started, "nothing starts too late"),
    (run_two_of_a_key, "solo jobs of one key do not overlap"),
    (go_on_as_a_frozen_program, "solo jobs of one key do not overlap"),
    (run_three_of_a_limit_of_two, "never more jobs of a limit are at work than it allows"),
    (run_two_of_a_tenant, "never more jobs of a limit are at work than it allows"),
    (run_two_of_a_sequence, "jobs of a sequence run one at a time"),
    (run_a_later_job_first, "jobs of a sequence run in the order of adding"),
    (run_a_later_job_of_a_batch_first, "jobs of a sequence run in the order of adding"),
    (run_a_later_job_between_two_tries, "jobs of a sequence run in the order of adding"),
    (go_on_after_a_failure_that_blocks, "a failure blocks its sequence until it is released"),
    (go_on_after_the_release_of_another_sequence, "a failure blocks its sequence until it is released"),
    (go_on_before_the_release, "a failure blocks its sequence until it is released"),
    (keep_the_place_after_the_end, "no place is kept"),
    (keep_the_turn_after_the_end, "no place is kept"),
    (keep_the_place_of_a_cancelled_job, "no place is kept"),
    (leave_a_job_parked, "nothing stays parked"),
    (leave_what_has_ended_parked, "nothing stays parked"),
    (keep_back_a_job_without_a_control, "statuses change by the rules"),
    (claim_what_waits_for_its_time, "statuses change by the rules"),
    (leave_the_record_of_a_dead_program, "the key of a dead program is free again"),
    (never_end_the_record_of_a_dead_program, "the key of a dead program is free again"),
    (lose_a_service, "a service comes back"),
    (bring_a_service_back_late, "a service comes back"),
    (leave_a_stopped_service, "a service stops when it is asked to"),
    (fail_to_stop_a_service, "a service stops when it is asked to"),
    (leave_a_time_out, "a schedule has one run for each time"),
    (leave_a_time_out_that_was_not_missed, "a schedule has one run for each time"),
    (leave_a_missed_time_out_that_is_to_be_made_up_for, "a schedule has one run for each time"),
    (leave_the_first_time_out, "a schedule has one run for each time"),
    (add_two_runs_for_one_time, "a schedule has one run for each time"),
    (add_a_run_for_another_time, "a schedule has no run for another time"),
    (keep_a_change_from_the_listener, "a listener misses nothing"),
    (leave_a_process, "no process is left"),
    (crash_a_thread, "no part of a node crashes"),
    (end_with_an_error, "nodes stop when they are asked to"),
]


@pytest.mark.parametrize(("crime", "rule"), CRIMES, ids=lambda value: getattr(value, "__name__", "rule"))
def test_a_broken_promise_is_found(story: Story, crime: Callable[[Story], None], rule: str) -> None:
    crime(story)
    assert rule in broken(story)


def test_every_rule_has_a_history_that_breaks_it() -> None:
    found = set()
    for crime, _ in CRIMES:
        story = Story()
        story.tell("listening")
        crime(story)
        found |= {rule for rule in checks.TRANSITIONS if list(rule(story.facts))}
    assert found == set(checks.TRANSITIONS)


# -- the verdict and the plan -----------------------------------------------------------------------------------------


def test_a_quiet_run_does_not_count() -> None:
    seen = dict.fromkeys(report.NEEDED, 1)
    assert report.verdict(seen, []) == 0
    for name in report.NEEDED:
        assert report.verdict({**seen, name: 0}, []) == 2


def test_a_violation_outweighs_a_quiet_run(story: Story) -> None:
    leave_a_job_waiting(story)
    assert report.verdict(dict.fromkeys(report.NEEDED, 0), checks.violations(story.facts)) == 1


@pytest.mark.parametrize(("lane", "faults"), [("process", PROCESS_FAULTS), ("server", SERVER_FAULTS)])
def test_a_seed_stands_for_one_plan_with_every_fault_in_it(lane: str, faults: dict[str, int]) -> None:
    cards = sum(faults.values()) + 2
    assert plan(7, lane, cards) == plan(7, lane, cards) == plan(7, lane, cards + 5)[:cards]
    assert plan(7, lane, cards) != plan(8, lane, cards)
    assert {step.fault for step in plan(7, lane, cards)} == set(faults)
    assert {step.fault for step in plan(7, lane, 5, only=["kill node", "step down"])} <= {"kill node", "step down"}


def test_every_planned_fault_can_be_done() -> None:
    assert set(process_faults.PROCESS_FAULTS) == set(PROCESS_FAULTS)
    assert set(server_faults.SERVER_FAULTS) == set(SERVER_FAULTS)
