"""The roles in security.md are enough for everything, and nothing in them is superfluous."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tests.support.jobs  # noqa: F401 - registers what runs here
from bson import ObjectId
from pymongo.errors import PyMongoError
from tests.support.eventually import eventually
from tests.support.fortress import Fortress
from tests.support.nodes import ROOT, NodeProcess
from tests.support.older_database import load

from taskscheduler import AuthenticationError, Flow, Scheduler, SchedulerError, Status
from taskscheduler.model.control.questions import Question
from taskscheduler.model.lifecycle import Ending, Transition, Verdict
from taskscheduler.model.logs.lines import chunk_document
from taskscheduler.model.metrics.counts import Sample, Series
from taskscheduler.model.metrics.steps import MINUTE
from taskscheduler.model.metrics.tally import Portion
from taskscheduler.model.migration.steps import StepState
from taskscheduler.model.options import NODES, SchedulerOptions
from taskscheduler.operations.migration.migrate import migrate
from taskscheduler.store.attempts.completion import Completion
from taskscheduler.store.change_events import message_pipeline
from taskscheduler.store.change_feed import ChangeFeed
from taskscheduler.store.client import connect as open_database
from taskscheduler.store.fence import Fence
from taskscheduler.store.migration.migrations import MigrationStore
from taskscheduler.store.overview import ClusterOverview
from taskscheduler.testing import InlineNode

PAGE = ROOT / "daemon" / "docs" / "explanation" / "security.md"
COMMAND = Path(sys.executable).with_name("taskscheduler")
PASSWORD = "hunter2hunter2"

Role = dict[str, Any]
ROLES: dict[str, Role] = {
    role["role"]: role
    for role in map(json.loads, re.findall(r"db\.createRole\((\{\n.*?\n\})\)", PAGE.read_text(), re.S))
}
OFTEN = ("insert", "dropIndex")  #: the privileges that the gate tries to do without


def marks(action: str) -> tuple[pytest.MarkDecorator, ...]:
    return () if action in OFTEN else (pytest.mark.faults,)


PRIVILEGES = [
    pytest.param(
        name, number, action,
        id=f"{name}-{privilege['resource']['collection'] or 'database'}-{action}", marks=marks(action),
    )
    for name, role in ROLES.items()
    for number, privilege in enumerate(role["privileges"])
    for action in privilege["actions"]
]  # fmt: skip


@pytest.fixture(scope="module")
def fortress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    with Fortress(tmp_path_factory.mktemp("fortress"), tls=False) as running:
        yield running


class Place:
    """A database of its own with the roles of the page and a user for each."""

    def __init__(self, fortress: Fortress) -> None:
        self.fortress = fortress
        self.name = f"roles_{ObjectId()}"

    def create(self, roles: dict[str, Role]) -> None:
        with self.fortress.admin() as client:
            for role in roles.values():
                here = json.loads(json.dumps(role).replace('"db": "app"', f'"db": "{self.name}"'))
                client[self.name].command("createRole", here.pop("role"), **here)
        for name in roles:
            self.fortress.add_user(name, PASSWORD, self.name, [name])

    def uri(self, user: str) -> str:
        return self.fortress.uri(f"{user}:{PASSWORD}", self.name)

    def remove(self) -> None:
        with self.fortress.admin() as client:
            client.drop_database(self.name)
            client[self.name].command("dropAllUsersFromDatabase")
            client[self.name].command("dropAllRolesFromDatabase")


@pytest.fixture
def place(fortress: Fortress) -> Iterator[Place]:
    place = Place(fortress)
    yield place
    place.remove()


def test_the_page_has_both_roles() -> None:
    assert set(ROLES) == {"taskscheduler_run", "taskscheduler_setup"}
    assert len(PRIVILEGES) > 15


def set_up(place: Place) -> None:
    """All that the setup user is for: create, mend, change sizes and retention."""
    with place.fortress.admin() as client:
        for name in ("taskscheduler.queue", "taskscheduler.events"):
            client[place.name].drop_collection(name)
    connect(place.uri("taskscheduler_setup"))
    with place.fortress.admin() as client:
        for name in ("taskscheduler.queue", "taskscheduler.events"):
            client[place.name].drop_collection(name)
            client[place.name][name].insert_one({"not": "capped"})
    connect(place.uri("taskscheduler_setup"))
    connect(place.uri("taskscheduler_setup"), job_retention=99, job_queue_size=8192, event_queue_size=8192)
    with place.fortress.admin(place.name) as client:
        jobs = client[place.name]["taskscheduler.jobs"]
        ended = {"status": {"$gt": 2}}
        jobs.create_index("ended", name="retention", partialFilterExpression=ended, expireAfterSeconds=99)
        connect(place.uri("taskscheduler_setup"))
        assert "retention" not in jobs.index_information()
        assert "retention" in client[place.name]["taskscheduler.metrics"].index_information()
        assert "place" in client[place.name]["taskscheduler.logs"].index_information()
    act(place.uri("taskscheduler_setup"))
    migrated(place, "taskscheduler_setup", all_indexes=True)


def migrated(place: Place, user: str, all_indexes: bool = False) -> list[StepState]:
    database = open_database(place.uri(user))
    with database.client:
        return [report.state for report in migrate(MigrationStore(database, SchedulerOptions(), all_indexes))]


def act(where: Any) -> None:
    """Does something on behalf of a person, which is written down."""
    with Scheduler(where) as scheduler, scheduler.audit.acting("ana"):
        scheduler.restore()
        assert scheduler.audit.entries(limit=1)[0].outcome == "done"


def connect(where: Any, **options: Any) -> None:
    with Scheduler(where, **options) as scheduler:
        assert scheduler.store


def live(uri: str, patience: float = 30) -> None:
    """Everything that applications, nodes and the command line do, in one process."""
    with Scheduler(uri) as scheduler:
        store, boot = scheduler.store, ObjectId()
        store.nodes.register(boot, {"name": "n"})
        assert store.nodes.beat(boot, {})
        pipeline = message_pipeline(store.options.job_store, store.options.job_queue)
        with ChangeFeed(store.database, pipeline, await_ms=10) as feed:
            process = scheduler.add_job_once("noop")
            store.claims.claim([process.id], "claim", boot, "n")
            assert len(store.claims.claimed("claim", boot)) == 1
            store.logs.write([chunk_document(process.id, 1, 0, 0, [])])
            store.logs.delete([process.id])
            store.completions.write([Completion(Fence(process.id, "claim", 1), Verdict(Transition.SUCCEED))])
            assert process.wait(patience).status is Status.DONE
            eventually(feed.next, patience, "a message")
        token = scheduler.listen(lambda process: True, timeout=0.01)
        scheduler.cancel_job(scheduler.add_job("noop").id)
        scheduler.listen(lambda process: process.status is Status.CANCELED, timeout=5, after=token)
        act(uri)
        overview = ClusterOverview(store.database, store.options)
        assert overview.server().version
        assert overview.open_stream() > 0
        assert (overview.missing_indexes(), len(overview.capped()), len(overview.nodes())) == ([], 2, 1)
        assert store.events.of_job(process.id, 10) == []
        counted = Portion(MINUTE.begins(store.clock.now()))
        counted.add(Sample(Series("noop", "default"), Ending.SUCCEEDED))
        store.metrics.add(boot, counted)
        store.nodes.remove(boot)
        assert scheduler.flush() == 2


class Silence(logging.Handler):
    """Nothing may be complained about in the log either: some writes may fail without anybody being told."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(record.getMessage())


def works(deed: Callable[[], None]) -> bool:
    silence, logger = Silence(), logging.getLogger("taskscheduler")
    logger.addHandler(silence)
    try:
        deed()
    except (SchedulerError, PyMongoError, AssertionError):
        return False
    finally:
        logger.removeHandler(silence)
    return not silence.said


def test_the_roles_are_enough(place: Place) -> None:
    place.create(ROLES)
    set_up(place)
    live(place.uri("taskscheduler_run"))
    live(place.uri("taskscheduler_setup"))
    assert works(lambda: live(place.uri("taskscheduler_run")))


@pytest.mark.parametrize(("name", "number", "action"), PRIVILEGES)
def test_every_privilege_is_needed(place: Place, name: str, number: int, action: str) -> None:
    less = deepcopy(ROLES)
    less[name]["privileges"][number]["actions"].remove(action)
    if not less[name]["privileges"][number]["actions"]:
        del less[name]["privileges"][number]
    place.create(less)
    if name == "taskscheduler_setup":
        assert not works(lambda: set_up(place))
        return
    with place.fortress.admin(place.name) as client:
        act(client[place.name])
        list(migrate(MigrationStore(client[place.name], SchedulerOptions(), all_indexes=True)))
    assert not works(lambda: live(place.uri("taskscheduler_run"), patience=5))


def test_who_may_only_run_is_told_what_is_missing(place: Place) -> None:
    place.create(ROLES)
    with pytest.raises(AuthenticationError, match=r"does not let this user run create\w* on .* taskscheduler_setup"):
        connect(place.uri("taskscheduler_run"))


def test_who_may_only_run_is_told_how_the_index_of_a_first_job_is_made(place: Place) -> None:
    place.create(ROLES)
    connect(place.uri(SETUP))
    told = (
        r"nobody has used the option tags in this database yet: that needs the index tags, which MongoDB does not let "
        r"this user make; as a user with the role taskscheduler_setup, run once: taskscheduler migrate --all-indexes"
    )
    with Scheduler(place.uri(RUN)) as scheduler:
        with pytest.raises(AuthenticationError, match=told):
            scheduler.add_job("noop", tags=["a"])
        assert list(scheduler.get_jobs()) == []
        migrated(place, SETUP, all_indexes=True)
        assert scheduler.add_job("noop", tags=["a"]).tags == ["a"]


def test_a_migration_takes_the_role_that_sets_up(place: Place) -> None:
    place.create(ROLES)
    with place.fortress.admin() as client:
        load(client[place.name])
        client[place.name]["taskscheduler.nodes"].delete_many({})
    refused = "does not let this user run {} on .* taskscheduler_setup"
    with pytest.raises(AuthenticationError, match=refused.format("create")):
        migrated(place, "taskscheduler_run")
    assert set(migrated(place, "taskscheduler_setup")) == {StepState.DONE}
    with place.fortress.admin() as client:
        client[place.name]["taskscheduler.jobs"].create_index("solo", name="parked")
    with pytest.raises(AuthenticationError, match=refused.format("dropIndexes")):
        migrated(place, "taskscheduler_run")


def settings(scheduler: Scheduler) -> None:
    for again in range(2):
        scheduler.pause(queue="mail", reason=str(again))
        scheduler.limits.set("stripe", concurrency=1)
        scheduler.groups.set("customer-7", 2)
    scheduler.add_jobs([("noop", None, {"limits": "stripe", "group": "customer-7"})] * 2)
    assert scheduler.resume(queue="mail")
    assert scheduler.limits.delete("stripe")
    assert scheduler.groups.delete("customer-7")


def rates(scheduler: Scheduler) -> None:
    scheduler.limits.set("api", rate=1, per=60)
    scheduler.add_jobs([("noop", None, {"limits": "api"})] * 2)


def sequences(scheduler: Scheduler) -> None:
    scheduler.add_jobs([("noop", None, {"sequence": "account-42"})] * 2)


def schedules(scheduler: Scheduler) -> None:
    for again in range(2):
        scheduler.schedules.add("nightly", "noop", every=3600, priority=again)
    assert scheduler.schedules.run("nightly")
    scheduler.schedules.delete("nightly")


def messages(scheduler: Scheduler) -> None:
    service = scheduler.start_service("noop", name=str(ObjectId()))
    store = scheduler.store.service_messages
    store.put(service.id, "in", "hello")
    assert (store.take(service.id, "in") or {})["value"] == "hello"


def windows(scheduler: Scheduler) -> None:
    scheduler.add_job("noop", unique_for=60, unique_key=str(ObjectId()))


def requests(scheduler: Scheduler) -> None:
    def act(session: Any) -> str:
        return str(scheduler.add_job("noop", session=session).id)

    key = str(ObjectId())
    answers = [scheduler.store.requests.carry_out(key, "request", act) for _ in range(2)]
    assert [one.is_repeated for one in answers] == [False, True]


def stacks(scheduler: Scheduler) -> None:
    boot, until = ObjectId(), datetime.now(UTC) + timedelta(seconds=9)
    question = Question(ObjectId(), ObjectId(), 1, boot, until)
    for _ in range(2):
        scheduler.store.questions.ask(question)
        scheduler.store.questions.answer(question, {"error": "none"})
    assert scheduler.store.questions.answered(question.id)
    scheduler.store.questions.forget(question)


def flows(scheduler: Scheduler) -> None:
    flow = Flow("order")
    first = flow.add("echo", {"order": 1})
    flow.add("echo", {"sheet": first.result}, after=[first, flow.add("noop")])
    running = scheduler.flows.add(flow)
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    assert running.refresh().status == "done"


Rights = dict[str, tuple[str, ...]]  #: actions on a collection, by role

RUN, SETUP = "taskscheduler_run", "taskscheduler_setup"
COUNTING = {RUN: ("insert", "update", "listIndexes"), SETUP: ("createIndex",)}

CHANGING = ("insert", "update", "remove")
KEEPING = {RUN: (*CHANGING, "listIndexes"), SETUP: ("createIndex",)}

#: what needs more rights than others, on which collection
MORE: list[tuple[Callable[[Scheduler], None], str, Rights]] = [
    (settings, "controls", {RUN: CHANGING}),
    (rates, "rates", COUNTING),
    (sequences, "sequences", COUNTING),
    (schedules, "schedules", KEEPING),
    (messages, "messages", {RUN: ("insert", "remove", "listIndexes"), SETUP: ("createIndex",)}),
    (windows, "windows", COUNTING),
    (requests, "requests", COUNTING),
    (stacks, "answers", {RUN: CHANGING}),
    (flows, "flows", COUNTING),
    (flows, "flow_results", KEEPING),
]

#: the rights that these need on other collections, too
BESIDE: dict[Callable[[Scheduler], None], dict[str, Rights]] = {
    rates: {"controls": {RUN: ("insert", "update")}},
    stacks: {"controls": {RUN: CHANGING}},
    flows: {"flows": COUNTING, "flow_results": KEEPING},
}

LACKING = [
    pytest.param(
        deed, collection, rights, lacking,
        id=f"{collection}-{'-'.join(lacking)}",
        marks=() if not any(lacking) else marks(lacking[1]) if deed is settings else (pytest.mark.faults,),
    )
    for deed, collection, rights in MORE
    for lacking in [("", ""), *((role, action) for role, actions in rights.items() for action in actions)]
]  # fmt: skip


@pytest.mark.parametrize(("deed", "collection", "rights", "lacking"), LACKING)
def test_what_needs_more_rights_needs_those_that_the_page_says(
    place: Place, deed: Callable[[Scheduler], None], collection: str, rights: Rights, lacking: tuple[str, str]
) -> None:
    """Once as the user that sets up, which creates what is not there; then as the one that runs."""
    roles = deepcopy(ROLES)
    for other, beside in BESIDE.get(deed, {}).items():
        for role, actions in beside.items() if other != collection else ():
            grant(roles, role, other, actions)
    for role, actions in rights.items():
        grant(roles, role, collection, [action for action in actions if (role, action) != lacking])
    place.create(roles)
    with place.fortress.admin(place.name) as client:
        connect(client[place.name])

    def do(user: str) -> None:
        with Scheduler(place.uri(user)) as scheduler:
            deed(scheduler)

    assert all(works(partial(do, user)) for user in (SETUP, RUN)) is not any(lacking)


def grant(roles: dict[str, Role], name: str, collection: str, actions: Sequence[str]) -> None:
    if actions:
        resource = {"db": "app", "collection": f"taskscheduler.{collection}"}
        roles[name]["privileges"].append({"resource": resource, "actions": list(actions)})


def test_the_page_says_what_needs_more_rights() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    for _, collection, rights in MORE:
        for actions in rights.values():
            *some, last = (f"`{action}`" for action in actions)
            text = f"{', '.join(some)}{' and ' if some else ''}{last} on `taskscheduler.{collection}`"
            assert any(text in row for row in rows), text


def test_the_built_in_role_is_enough_except_for_changes_of_what_exists(place: Place) -> None:
    place.fortress.add_user("plain", PASSWORD, place.name, ["readWrite"])
    uri = place.uri("plain")
    assert works(lambda: live(uri))
    assert not works(lambda: connect(uri, job_retention=99))
    assert not works(lambda: connect(uri, job_queue_size=8192))


def test_a_node_and_the_command_work_with_the_role_that_runs(place: Place, tmp_path: Path) -> None:
    """Add, run, listen, cancel, status, doctor; with the user that sets up only once before."""
    place.create(ROLES)
    act(place.uri("taskscheduler_setup"))
    migrated(place, "taskscheduler_setup", all_indexes=True)
    uri = place.uri("taskscheduler_run")
    node = NodeProcess(uri, tmp_path / "node.log", {"orphaned_timeout": 2})
    try:
        node.wait_until_ready()
        with Scheduler(uri) as scheduler, scheduler.listen_in_background():
            heard: list[str] = []
            scheduler.on("*", lambda event, process: heard.append(event))
            process = scheduler.add_job("echo", {"a": 1})
            assert process.result(20)["data"] == {"a": 1}
            waiting = scheduler.add_job("wait", {"seconds": 60})
            waiting.cancel()
            assert waiting.wait(20).status is Status.CANCELED
            series = scheduler.add_job_once("noop", interval=1)
            scheduler.wait_for([series], timeout=20)
            scheduler.cancel_job(series.id)
            assert scheduler.add_job("flaky", 2, retry=1, retry_interval=0).result(20) == 2
        assert {"waiting", "processing", "done", "cancel"} <= set(heard)
        for arguments in (["status", "--node", "node"], ["doctor"], ["show", str(process.id)], ["flush", "--yes"]):
            done = subprocess.run(
                [COMMAND, *arguments], env={"TASKSCHEDULER_URI": uri}, capture_output=True, text=True, timeout=30
            )
            assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        assert node.stop() == 0
    finally:
        node.destroy()
    log = node.log.read_text()
    assert not re.search("not authorized|not let|ERROR|Traceback", log)
    with place.fortress.admin() as client:
        assert client[place.name][NODES].count_documents({}) == 0
