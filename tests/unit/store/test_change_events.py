"""What a change event says about a job, and how a query on jobs becomes one on change events."""

from __future__ import annotations

from typing import Any

import pytest
from bson import ObjectId
from tests.support.tables import table

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.lifecycle import Status, Transition, Verdict
from taskscheduler.store.attempts.claiming import release_update
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.attempts.ending import rearm_update
from taskscheduler.store.change_events import ChangeEvent, changes, status_pipeline
from taskscheduler.store.fence import Fence
from taskscheduler.store.requeue_update import requeue_update

ID = ObjectId()


def inserted(**document: Any) -> dict[str, Any]:
    return {"operationType": "insert", "documentKey": {"_id": ID}, "fullDocument": {"_id": ID, **document}}


def updated(full: dict[str, Any] | None, **fields: Any) -> dict[str, Any]:
    return {
        "operationType": "update",
        "documentKey": {"_id": ID},
        "updateDescription": {"updatedFields": fields, "removedFields": []},
        "fullDocument": full,
    }


def statuses(event: dict[str, Any]) -> list[Status]:
    return [change.status for change in changes(event)]


# -- changes ----------------------------------------------------------------------------------------------------------


def test_a_new_job_is_one_change() -> None:
    assert changes(inserted(status=0, data=1)) == [ChangeEvent(Status.WAITING, {"_id": ID, "status": 0, "data": 1})]


@table("status", Status)
def test_every_status_that_a_job_changes_to_is_told(status: Status) -> None:
    assert statuses(updated({"_id": ID, "status": int(status)}, status=int(status))) == [status]


def test_a_job_is_shown_with_the_status_of_the_change_and_not_with_a_later_one() -> None:
    later = {"_id": ID, "status": 3, "attempt": 2, "progress": 100.0, "data": "d"}
    [change] = changes(updated(later, status=2, attempt=1, progress=0.0))
    assert change.status is Status.PROCESSING
    assert change.document == {"_id": ID, "status": 2, "attempt": 1, "progress": 0.0, "data": "d"}


def test_a_job_that_was_deleted_meanwhile_is_shown_as_far_as_it_is_known() -> None:
    [change] = changes(updated(None, status=3, ended="now", result=5))
    assert change == ChangeEvent(Status.DONE, {"_id": ID, "status": 3, "ended": "now"})


@table("kind", ["delete", "drop", "rename", "invalidate", "dropDatabase"])
def test_what_is_no_change_of_a_job_tells_nothing(kind: str) -> None:
    assert changes({"operationType": kind}) == []


def test_a_document_without_a_status_tells_nothing() -> None:
    assert changes(inserted(data=1)) == []


def test_a_replaced_job_is_told_with_its_status() -> None:
    event = {**inserted(status=5), "operationType": "replace"}
    assert statuses(event) == [Status.CANCELED]


@table(
    ("rearmed", "now", "told"),
    [
        ("1:failed", Status.POSTPONED, [Status.FAILED, Status.POSTPONED]),
        ("1:failed", Status.WAITING, [Status.FAILED, Status.WAITING]),
        ("2:timeout", Status.POSTPONED, [Status.TIMEOUT, Status.POSTPONED]),
        ("7:timeout", Status.WAITING, [Status.TIMEOUT, Status.WAITING]),
        ("3:", Status.WAITING, [Status.WAITING]),
    ],
)
def test_a_re_armed_job_first_tells_how_its_attempt_ended(rearmed: str, now: Status, told: list[Status]) -> None:
    document = {"_id": ID, "status": int(now), "attempt": 9}
    found = changes(updated(document, status=int(now), rearmed=rearmed, error={"type": "E"}))
    assert [change.status for change in found] == told
    assert [change.document["status"] for change in found] == [int(status) for status in told]
    assert all(change.document["error"] == {"type": "E"} for change in found)
    if len(found) == 2:
        assert found[0].document["attempt"] == int(rearmed[0])


@pytest.mark.parametrize("ended_as", [Status.FAILED, Status.TIMEOUT])
def test_what_the_store_writes_for_a_retry_is_what_the_feed_understands(ended_as: Status) -> None:
    one = Completion(Fence(ID, "c", 4), Verdict(Transition.RETRY), ended_as=ended_as)
    written = rearm_update(one)[0]["$set"]["rearmed"]["$concat"][1]
    assert statuses(updated(None, status=1, rearmed=f"4{written}")) == [ended_as, Status.POSTPONED]


def test_an_older_re_arming_is_not_told_again() -> None:
    document = {"_id": ID, "status": 2, "rearmed": "1:failed"}
    assert statuses(updated(document, status=2, attempt=2)) == [Status.PROCESSING]


def test_a_job_that_is_handed_back_unstarted_goes_on_for_those_who_listen() -> None:
    release = release_update()
    written = {**release["$set"], **dict.fromkeys(release["$inc"], 0)}  # its attempt number has gone back
    assert changes(updated({"_id": ID, "status": 0}, **written)) == []
    assert statuses(updated({"_id": ID, "status": 0}, status=0)) == [Status.WAITING]


def test_a_change_is_of_the_attempt_in_which_it_was_made_although_the_document_was_read_in_a_later_one() -> None:
    later = {"_id": ID, "status": int(Status.PROCESSING), "attempt": 2}
    again = changes(updated(later, status=0, rearmed="1:failed"))
    assert [(change.status, change.document["attempt"]) for change in again] == [
        (Status.FAILED, 1),
        (Status.WAITING, 1),
    ]
    [due] = changes(updated(later, status=0))
    assert due.document["attempt"] == 1
    [waits] = changes(updated({**later, "status": 0}, status=0))
    assert waits.document["attempt"] == 2


def test_a_job_that_is_put_back_into_the_queue_begins_anew() -> None:
    [stage, _] = requeue_update({"_id": ID})
    written = {**stage["$set"], "status": 0, "ended": None}
    assert [change.requeued for change in changes(updated({"_id": ID}, **written))] == [True]
    assert [change.requeued for change in changes(updated({"_id": ID}, status=5, ended="now"))] == [False]
    assert [change.requeued for change in changes(updated({"_id": ID}, status=0, attempts=[]))] == [False]


def test_what_a_job_says_while_it_runs_is_no_change_of_its_status() -> None:
    document = {"_id": ID, "status": 2, "attempt": 1, "progress": 90.0}
    [change] = changes(updated(document, progress=50.0, message="half", alive="now"))
    assert change.progress
    assert change.status is Status.PROCESSING
    assert (change.document["progress"], change.document["message"]) == (50.0, "half")  # as it was said


# -- the pipeline -----------------------------------------------------------------------------------------------------


def test_progress_passes_only_if_somebody_asks_for_it() -> None:
    told = [{"updateDescription.updatedFields.progress": {"$exists": True}}]
    assert told[0] not in status_pipeline()[0]["$match"]["$or"]
    assert told[0] in status_pipeline(progress=True)[0]["$match"]["$or"]


def test_without_a_query_all_changes_of_a_status_are_let_through() -> None:
    [stage] = status_pipeline()
    assert set(stage["$match"]) == {"$or"}
    assert {"updateDescription.updatedFields.status": {"$exists": True}} in stage["$match"]["$or"]
    assert {"operationType": "insert"} in stage["$match"]["$or"]


@table(("status", "passes"), [(Status.DONE, True), (Status.CANCELED, True), (Status.PROCESSING, False)])
def test_who_asks_for_ends_alone_gets_no_other_change(status: Status, passes: bool) -> None:
    [stage] = status_pipeline(ends=True)
    [ended] = [one for one in stage["$match"]["$or"] if "updateDescription.updatedFields.status" in one]
    assert (int(status) in ended["updateDescription.updatedFields.status"]["$in"]) == passes


def test_a_dropped_collection_is_let_through_whatever_the_query() -> None:
    first = status_pipeline({"class": "mail"})[0]
    assert {"operationType": {"$in": ["drop", "rename", "invalidate"]}} in first["$match"]["$or"]


@pytest.mark.parametrize("ids", [[ID], [ID, ObjectId()], []])
def test_ids_are_matched_by_the_key_of_the_document(ids: list[ObjectId]) -> None:
    [stage] = status_pipeline(ids=ids)
    assert stage["$match"]["documentKey._id"] == {"$in": ids}


def last_match(query: dict[str, Any]) -> dict[str, Any]:
    match: dict[str, Any] = status_pipeline(query)[-1]["$match"]
    return match


@table(
    ("query", "match"),
    [
        ({"class": "mail"}, {"fullDocument.class": "mail"}),
        ({"data.to": "x"}, {"fullDocument.data.to": "x"}),
        ({"_id": ID}, {"documentKey._id": ID}),
        ({"_id": {"$in": [ID]}}, {"documentKey._id": {"$in": [ID]}}),
        ({"_idea": 1}, {"fullDocument._idea": 1}),
        ({"status": {"$lte": 2}}, {"fullDocument.status": {"$lte": 2}}),
        ({"data": {"$or": 1}}, {"fullDocument.data": {"$or": 1}}),
        (
            {"$or": [{"_id": ID}, {"$and": [{"class": "a"}, {"queue": "b"}]}]},
            {"$or": [{"documentKey._id": ID}, {"$and": [{"fullDocument.class": "a"}, {"fullDocument.queue": "b"}]}]},
        ),
        ({"$nor": [{"status": 3}]}, {"$nor": [{"fullDocument.status": 3}]}),
        ({"class": "a", "status": 3}, {"fullDocument.class": "a", "fullDocument.status": 3}),
    ],
)
def test_a_query_on_jobs_becomes_one_on_change_events(query: dict[str, Any], match: dict[str, Any]) -> None:
    assert last_match(query) == match


def test_a_query_sees_the_status_of_the_change() -> None:
    stages = status_pipeline({"status": 3})
    changed = {"$ifNull": ["$updateDescription.updatedFields.status", "$fullDocument.status"]}
    assert stages[1] == {"$set": {"fullDocument.status": changed}}


@table("key", ["$where", "$expr", "$text", "$comment", "$jsonSchema"])
@table("nested", [False, True])
def test_operators_that_do_not_name_fields_are_refused(key: str, nested: bool) -> None:
    query: dict[str, Any] = {"$or": [{"class": 1}, {key: 1}]} if nested else {key: 1}
    with pytest.raises(InvalidOptionError, match=rf"\{key} cannot be used in the query of listen\(\)"):
        status_pipeline(query)


def test_the_query_is_not_changed() -> None:
    query = {"$or": [{"class": "a"}]}
    status_pipeline(query)
    assert query == {"$or": [{"class": "a"}]}
