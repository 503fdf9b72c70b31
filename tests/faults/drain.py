"""After the last fault: what was added is run to its end, every series is seen to go on and ended, all is stopped."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pymongo.collection import Collection

from taskscheduler import Scheduler
from taskscheduler.errors import SchedulerError
from taskscheduler.model.control.keys import keys_of
from tests.faults.cluster import LEASE, Cluster
from tests.faults.executions import executions
from tests.faults.history import read
from tests.faults.standing import EFFECTS, ORDERS, release_sequences
from tests.faults.turns import BACK_WITHIN
from tests.faults.witness import JOBS
from tests.support.eventually import eventually

_WORK = {"class": {"$gte": ""}, "status": {"$lte": 2}}
_SERIES_ADVANCES_WITHIN = 20.0
_DRAINED_WITHIN = 60.0
_LATE = timedelta(seconds=1)  #: the last run is for a time at most so long before the end of the faults
_STOPPED_WITHIN = 40.0
_FREE_WITHIN = LEASE + 10.0

Documents = dict[str, dict[str, Any]]


def drain(cluster: Cluster) -> Documents:
    """All job documents as they are in the end, by id."""
    for producer in cluster.producers:
        producer.ask_to_stop()
    for producer in cluster.producers:
        if producer.wait(_STOPPED_WITHIN) is None:
            producer.kill()
    cluster.history.write("over")
    for program in cluster.programs:
        program.kill()  # in the midst of its turn, perhaps
    with cluster.scheduler() as scheduler, cluster.database() as database:
        jobs = database[JOBS]
        _end_schedules(cluster, scheduler)
        lasting = {"series": {"$exists": False}, "service": {"$exists": False}}
        _patiently(
            lambda: _release(cluster, scheduler) and jobs.find_one({**_WORK, **lasting}) is None, _DRAINED_WITHIN
        )
        _end_series(cluster, scheduler, jobs)
        _end_services(cluster, scheduler)
        _patiently(lambda: jobs.find_one(_WORK) is None, _DRAINED_WITHIN)
        _release(cluster, scheduler)  # the last job of a sequence may have failed since
        _patiently(lambda: jobs.find_one({"pending": {"$exists": True}}) is None, _DRAINED_WITHIN / 4)
        _patiently(lambda: not scheduler.flows.list("running"), _DRAINED_WITHIN / 4)
        _note_flows_and_effects(cluster, scheduler)
        _free_places(cluster, scheduler, jobs)
        cluster.witness.catch_up()
        _stop_listener(cluster, scheduler)
        _stop_nodes(cluster)
        return {str(document["_id"]): document for document in jobs.find()}


def _patiently(condition: Callable[[], bool], timeout: float) -> bool:
    try:
        return eventually(condition, timeout)
    except AssertionError:
        return False  # the checker says what is wrong


def _release(cluster: Cluster, scheduler: Scheduler) -> bool:
    """Release the sequences that a failed job blocks, so that the jobs behind it run; True."""
    release_sequences(scheduler, cluster.history)
    return True


def _free_places(cluster: Cluster, scheduler: Scheduler, jobs: Collection[dict[str, Any]]) -> None:
    """As whoever wants the place of a cancelled job does, whose node is gone; what is not free then was forgotten."""

    def kept() -> list[dict[str, Any]]:
        held = list(jobs.find({"gate": {"$exists": True}}))
        for key in {key for job in held for key in keys_of(job)}:
            scheduler.store.places.taken(key)
        return held

    _patiently(lambda: not kept(), _FREE_WITHIN)
    for job in kept():
        cluster.history.write("kept", job=job["_id"])


def _note_flows_and_effects(cluster: Cluster, scheduler: Scheduler) -> None:
    """What is left of flows, and what transactions have written."""
    for flow in scheduler.flows.list("running"):
        cluster.history.write("flow_left", flow=flow.id, status=flow.status)
    for what, collection in (("effect", EFFECTS), ("order", ORDERS)):
        for document in scheduler.database[collection].find():
            cluster.history.write(what, job=document["job"])


def _end_series(cluster: Cluster, scheduler: Scheduler, jobs: Collection[dict[str, Any]]) -> None:
    """Each must have made at least one step since the faults ended, before it is cancelled."""

    def newest() -> dict[Any, int]:
        groups = jobs.aggregate([{"$match": {"series": {"$exists": True}}}, {"$sort": {"seq": 1}}, _LAST])
        return {entry["_id"]: entry["seq"] for entry in groups}

    before = newest()
    _patiently(lambda: all(newest()[series] > seq for series, seq in before.items()), _SERIES_ADVANCES_WITHIN)
    after = newest()
    for series, seq in before.items():
        cluster.history.write("series", series=str(series), advanced=after[series] > seq)
        scheduler.cancel_job(series)


def _end_schedules(cluster: Cluster, scheduler: Scheduler) -> None:
    """They must have caught up with the present since the faults ended, before they are paused."""
    schedules, over = scheduler.schedules, scheduler.store.clock.now()
    _patiently(lambda: all((one.next_at or over) > over for one in schedules.all()), _DRAINED_WITHIN)
    for name in cluster.first_times:
        schedules.pause(name)
    _patiently(lambda: not any("due_at" in one.to_dict() for one in schedules.all()), _DRAINED_WITHIN)
    for name, first in cluster.first_times.items():
        last = max(schedules.get(name).last_at or over, over - _LATE)
        cluster.history.write("schedule", name=name, first=str(first), last=str(last))


def _end_services(cluster: Cluster, scheduler: Scheduler) -> None:
    """Each must have shown signs of life since the faults ended, before it is stopped."""
    services = {str(service.id): service for service in scheduler.services()}

    def alive() -> set[str]:
        events = read(cluster.history_directory)
        over = next(event["t"] for event in events if event["what"] == "over")
        return {job for job, runs in executions(events).items() if job in services and runs[-1].last > over}

    _patiently(lambda: len(alive()) == len(services), BACK_WITHIN)
    for job_id, service in services.items():
        try:
            scheduler.stop_service(service.to_dict()["service"]["name"])
        except SchedulerError as error:
            cluster.history.write("service", job=job_id, why=str(error))
        else:
            cluster.history.write("service", job=job_id)


_LAST: dict[str, Any] = {"$group": {"_id": "$series", "seq": {"$last": "$seq"}}}


def _stop_listener(cluster: Cluster, scheduler: Scheduler) -> None:
    """When it has heard of the end of a last job, it has heard of everything before."""
    last = scheduler.add_job("faults.quick")
    cluster.history.write("add", ids=[last.id], expected="done")
    cluster.history.write("acked", ids=[last.id])
    heard = {"what": "heard", "job": str(last.id), "status": 3}
    files = cluster.history_directory
    _patiently(lambda: any(heard.items() <= event.items() for event in read(files, cluster.listener.pid)), 30.0)
    cluster.listener.ask_to_stop()
    if cluster.listener.wait(_STOPPED_WITHIN) is None:
        cluster.listener.kill()
    cluster.witness.catch_up()


def _stop_nodes(cluster: Cluster) -> None:
    for node in cluster.nodes:
        node.ask_to_stop()
    for node in cluster.nodes:
        cluster.history.write("stopped", who=node.name, code=node.wait(_STOPPED_WITHIN))
    left = cluster.left_running()
    if left:
        cluster.history.write("left", pids=left)
