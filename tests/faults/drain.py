"""After the last fault: what was added is run to its end, every series is seen to go on and ended, all is stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymongo.collection import Collection

from taskscheduler import Scheduler
from taskscheduler.errors import SchedulerError
from tests.faults.cluster import Cluster
from tests.faults.executions import executions
from tests.faults.history import read
from tests.faults.turns import BACK_WITHIN
from tests.faults.witness import JOBS
from tests.support.eventually import eventually

_WORK = {"class": {"$gte": ""}, "status": {"$lte": 2}}
_SERIES_ADVANCES_WITHIN = 20.0
_DRAINED_WITHIN = 60.0
_STOPPED_WITHIN = 40.0

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
        lasting = {"series": {"$exists": False}, "service": {"$exists": False}}
        _patiently(lambda: jobs.find_one({**_WORK, **lasting}) is None, _DRAINED_WITHIN)
        _end_series(cluster, scheduler, jobs)
        _end_services(cluster, scheduler)
        _patiently(lambda: jobs.find_one(_WORK) is None, _DRAINED_WITHIN)
        _patiently(lambda: jobs.find_one({"pending": {"$exists": True}}) is None, _DRAINED_WITHIN / 4)
        cluster.witness.catch_up()
        _stop_listener(cluster, scheduler)
        _stop_nodes(cluster)
        return {str(document["_id"]): document for document in jobs.find()}


def _patiently(condition: Callable[[], bool], timeout: float) -> bool:
    try:
        return eventually(condition, timeout)
    except AssertionError:
        return False  # the checker says what is wrong


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
