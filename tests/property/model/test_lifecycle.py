"""Whatever happens to a job: a final status is final, and retries and losses are bounded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from taskscheduler.model.lifecycle import LIVE, Ending, Status, Transition, sources, target
from taskscheduler.model.retries import Recurrence, verdict_after

MORE = settings(max_examples=200, deadline=None)
ASKED_FOR = (Transition.REQUEUE, Transition.REQUEUE_CONTROLLED, Transition.REQUEUE_LATER)  #: by somebody
OF_ITSELF = [move for move in Transition if move not in ASKED_FOR]


@MORE
@given(st.sampled_from(Status), st.lists(st.sampled_from(OF_ITSELF), max_size=40))
def test_no_sequence_of_moves_leaves_a_final_status(status: Status, moves: list[Transition]) -> None:
    for move in moves:
        before = status
        if status in sources(move):
            status = target(move)
        assert not before.is_final or status is before


@MORE
@given(
    st.sampled_from(Ending),
    st.builds(
        Recurrence,
        retry=st.integers(-1, 5),
        retry_interval=st.floats(0, 1e6),
        interval=st.one_of(st.just(-1.0), st.floats(0, 1e6)),
        retries=st.integers(0, 10),
        lost=st.integers(0, 10),
    ),
    st.integers(1, 5),
)
def test_every_end_of_an_attempt_leads_from_processing_to_a_known_place(
    ending: Ending, job: Recurrence, max_lost: int
) -> None:
    verdict = verdict_after(ending, job, max_lost)
    assert Status.PROCESSING in sources(verdict.move)
    assert verdict.status is not Status.PROCESSING
    if verdict.plans_next:
        assert verdict.status.is_final
        assert job.interval != 0
    if verdict.status.is_final and job.interval != 0:
        assert verdict.plans_next
    assert (verdict.status is Status.DONE) == (ending is Ending.SUCCEEDED)


@MORE
@given(
    st.lists(st.sampled_from([Ending.FAILED, Ending.TIMED_OUT, Ending.LOST]), min_size=1, max_size=60),
    st.integers(0, 8),
    st.integers(1, 5),
)
def test_a_job_that_never_succeeds_ends_after_its_retries_and_losses(
    endings: list[Ending], retry: int, max_lost: int
) -> None:
    retries = lost = attempts = 0
    status = Status.WAITING
    for ending in endings:
        if status not in LIVE:
            break
        attempts += 1
        verdict = verdict_after(ending, Recurrence(retry, 1, 0, retries, lost), max_lost)
        retries += verdict.move in (Transition.RETRY, Transition.RETRY_NOW)
        lost += ending is Ending.LOST
        status = verdict.status
    assert retries <= retry
    assert lost <= max_lost
    assert attempts <= retry + max_lost
    if len(endings) >= retry + max_lost:
        assert status.is_final
