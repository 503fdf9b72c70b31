"""The web service of schedules: the records of the command line, and a reason for everything that it refuses."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import pytest
from bson import ObjectId
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from starlette.testclient import TestClient
from tests.integration.web.test_schedule_pages import NAMES, stored
from tests.support.odd_schedules import ODD, some
from tests.support.web import HOME, as_served, visit

from taskscheduler import ScheduleNotFoundError, Scheduler
from taskscheduler.calendars.options import SCHEDULE_CHECKS
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.web.api.job_forms import JobRecord
from taskscheduler_daemon.web.api.schedule_forms import NextTime, ScheduleRecord
from taskscheduler_daemon.web.app import create_app
from taskscheduler_daemon.web.http.problems import Problem

PATH = "/api/v1/schedules"
NIGHTLY = {"job": "noop", "data": {"kind": "full"}, "cron": "30 2 * * mon-fri", "timezone": "Europe/Zurich", "retry": 3}


def address(name: str, more: str = "") -> str:
    return f"{PATH}/{quote(name, safe='')}{more}"


@pytest.mark.parametrize("name", [name for name in NAMES if name != ".."])
def test_the_life_of_a_schedule(client: TestClient, scheduler: Scheduler, name: str) -> None:
    answer = client.put(address(name), json=NIGHTLY)
    assert (answer.status_code, answer.headers["location"]) == (201, address(name))
    known = scheduler.schedules.get(name)
    assert (known.job, known.data, known.run_options["retry"]) == ("noop", {"kind": "full"}, 3)
    answer = client.put(address(name), json={"job": "noop", "every": 60, "start": "2127-06-01T00:00:00+02:00"})
    assert (answer.status_code, answer.json()["in_words"]) == (200, "Every minute, from 2127-05-31 22:00 on")
    assert client.get(address(name)).json() == answer.json()
    paused = client.post(address(name, "/pause"), json={"reason": "SMTP is down"}).json()
    assert (paused["state"], paused["reason"]) == ("paused", "SMTP is down")
    assert client.post(address(name, "/pause")).json()["reason"] is None
    assert client.post(address(name, "/resume")).json()["state"] == "active"
    run = client.post(address(name, "/run"))
    assert run.status_code == 201
    assert client.get(run.headers["location"]).json()["id"] == run.json()["id"]
    assert scheduler.get_job(ObjectId(run.json()["id"])).schedule == name
    answer = client.get(address(name, "/next?count=2"))
    times = answer.json()
    first, second = scheduler.schedules.get(name).next_times(2)
    assert [datetime.fromisoformat(time["at"]) for time in times] == [first, second]
    assert times[0]["local"] == f"{first:%Y-%m-%d %H:%M:%S}+00:00"
    assert not times[0]["clocks_change"]
    assert (client.delete(address(name)).status_code, client.delete(address(name)).status_code) == (204, 404)


def test_it_answers_what_the_command_line_prints(
    client: TestClient, scheduler: Scheduler, uri: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(5):
        scheduler.schedules.add(f"s-{number}", "noop", every=3600)
    scheduler.schedules.pause("s-1", "why")
    scheduler.schedules.add("s-2", "noop", cron="0 12 * * *", end=datetime(2099, 1, 1, tzinfo=UTC))
    assert main(["--uri", uri, "schedule", "list", "-o", "json"]) == 0
    printed = as_served(capsys.readouterr().out)
    assert client.get(PATH).json() == printed
    pages, path = [], f"{PATH}?limit=2"
    while path:
        answer = client.get(path)
        pages.append(answer.json())
        path = answer.links["next"]["url"] if "next" in answer.links else ""
    assert [len(page) for page in pages] == [2, 2, 1]
    assert [one for page in pages for one in page] == printed
    assert [one["name"] for one in client.get(f"{PATH}?state=paused").json()] == ["s-1"]
    TypeAdapter(list[ScheduleRecord]).validate_python(printed)


WRONG: list[tuple[Any, str]] = [
    ({}, "Missing job"),
    ({"job": 5, "every": 60}, "Missing job"),
    ({"job": "os.system", "every": 60}, 'Job "os.system" is not registered by the modules of --jobs'),
    ({"job": "noop"}, "has no times: give cron, every or rrule"),
    ({"job": "noop", "cron": "61 * * * *"}, "the minute of '61 * * * *' cannot be read; it takes"),
    ({"job": "noop", "cron": "0 0 30 2 *"}, "'0 0 30 2 *' never comes"),
    ({"job": "noop", "cron": "@dayly"}, "did you mean @daily?"),
    ({"job": "noop", "cron": "* * * * * *"}, "has six fields; give seconds=True"),
    ({"job": "noop", "cron": {"$ne": 1}}, "option cron must be a cron expression such as '30 2 * * *', or a list"),
    ({"job": "noop", "every": 0}, "option every must be between 1 and"),
    ({"job": "noop", "every": "5m"}, "option every must be an integer, a float"),
    ({"job": "noop", "every": 60, "timezone": "Europe/Zurch"}, "did you mean Europe/Zurich?"),
    ({"job": "noop", "every": 60, "overlap": "skp"}, "must be one of skip, buffer_one"),
    ({"job": "noop", "every": 60, "missed": None}, "must be one of latest, all, skip"),
    ({"job": "noop", "every": 60, "start": "soon"}, "option start must be a date with a time zone such as"),
    ({"job": "noop", "every": 60, "end": 5}, "option end must be a date with a time zone such as"),
    ({"job": "noop", "every": 60, "start": "2027-06-01T00:00:00"}, "give it a time zone"),
    (
        {"job": "noop", "every": 60, "start": "0001-01-01T00:00:00Z"},
        "option start must be within the years 1970 to 9000",
    ),
    ({"job": "noop", "every": 60, "runs": 10**30}, "option runs must be between 1 and"),
    ({"job": "noop", "every": 60, "rtry": 1}, "invalid option rtry given; did you mean retry?"),
    ({"job": "noop", "every": 60, "at": 5}, "option at is not for a schedule"),
    ({"job": "noop", "every": 60, "name": "other"}, "leave it out"),
    ({"job": "noop", "every": 60, "self": 1}, "invalid option self given"),
    ({"job": "noop", "every": 60, "data": {"x": 2**63}}, "8-byte ints"),
    ({"job": "noop", "every": 60, "tags": [""]}, "option tags must be a list of texts"),
    ({"job": "noop", "rrule": "FREQ=SECONDLY"}, "use cron or every"),
]


@pytest.mark.parametrize(("body", "message"), WRONG)
def test_a_wrong_schedule_is_refused_with_what_is_allowed(
    client: TestClient, scheduler: Scheduler, body: Any, message: str
) -> None:
    answer = client.put(address("x"), json=body)
    assert (answer.status_code, answer.json()["status"]) == (400, 400)
    assert message in answer.json()["detail"]
    assert scheduler.schedules.all() == []


def test_wrong_requests_are_answered_with_a_reason(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.schedules.add("x", "noop", every=60)
    for verb, path, body, code, message in (
        ("GET", "?limit=0", None, 400, "Malformed limit"),
        ("GET", "?limit=x", None, 400, "Malformed limit"),
        ("GET", "?state=odd", None, 400, "it must be one of paused, undeclared"),
        ("GET", "?sate=x", None, 400, 'Unknown parameter "sate"; did you mean state?'),
        ("GET", "/y", None, 404, "there is no schedule 'y'"),
        ("GET", "/x/next?count=101", None, 400, "Malformed count"),
        ("GET", "/x/y", None, 404, "Not Found"),
        ("PATCH", "/x", None, 405, "Method Not Allowed"),
        ("POST", "/y/run", None, 404, "there is no schedule 'y'"),
        ("POST", "/y/pause", None, 404, "there is no schedule 'y'"),
        ("POST", "/x/pause", "[]", 400, "Malformed JSON"),
        ("POST", "/x/pause", '{"reason": 5}', 400, "at most 500 characters"),
        ("POST", "/x/pause", '{"resaon": "a"}', 400, 'Unknown field "resaon"; did you mean reason?'),
        ("PUT", "/" + "x" * 201, json.dumps(NIGHTLY), 400, "a printable name of at most 200 characters"),
        ("PUT", "/%00", json.dumps(NIGHTLY), 400, "a printable name of at most 200 characters"),
    ):
        answer = client.request(verb, f"{PATH}{path}", content=body, headers={"Content-Type": "application/json"})
        assert (answer.status_code, answer.json()["status"]) == (code, code), path
        assert answer.headers["content-type"] == "application/problem+json"
        assert message in answer.json()["detail"]
    assert client.patch(address("x")).headers["allow"] == "DELETE, GET, HEAD, PUT"
    foreign = {"Sec-Fetch-Site": "cross-site"}
    assert client.put(address("x"), json=NIGHTLY, headers=foreign).status_code == 403
    assert scheduler.schedules.get("x").every == 60


def test_the_description_tells_what_is_answered(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    always, one = {"400", "401", "403", "500", "503"}, f"{PATH}/{{name}}"
    assert {
        (path.removeprefix(PATH), verb): set(operation["responses"]) - always
        for path, verbs in described["paths"].items()
        for verb, operation in verbs.items()
        if path.startswith(PATH)
    } == {
        ("", "get"): {"200"},
        ("/{name}", "get"): {"200", "404"},
        ("/{name}", "put"): {"200", "201", "408", "413", "415"},
        ("/{name}", "delete"): {"204", "404", "409"},
        ("/{name}/pause", "post"): {"200", "404", "408", "413", "415"},
        ("/{name}/resume", "post"): {"200", "404", "409"},
        ("/{name}/run", "post"): {"201", "404", "409"},
        ("/{name}/next", "get"): {"200", "404"},
    }
    body = described["paths"][one]["put"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["job"]["enum"] == ["noop"]
    assert set(SCHEDULE_CHECKS) <= set(body["properties"])
    names = [parameter["name"] for parameter in described["paths"][one + "/next"]["get"]["parameters"]]
    assert sorted(names) == ["count", "name"]


def test_the_token_is_needed(scheduler: Scheduler) -> None:
    with visit(scheduler, "s3cret") as client:
        for verb, path in (("GET", PATH), ("PUT", address("x")), ("DELETE", address("x")), ("GET", "/schedules")):
            assert client.request(verb, path, json=NIGHTLY).status_code == 401
        assert client.get(PATH, headers={"Authorization": "Bearer s3cret"}).json() == []


def test_what_belongs_to_the_code_is_not_deleted(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.schedules.add("declared", "noop", every=3600)
    scheduler.store.schedules.change(stored(scheduler, "declared"), {"owner": "code"})
    answer = client.delete(address("declared"))
    assert (answer.status_code, answer.json()["detail"]) == (
        409, "It belongs to the code, and nodes declare it. Take it out of the code, or pause it."
    )  # fmt: skip
    scheduler.store.schedules.change(stored(scheduler, "declared"), {"undeclared": True})
    assert client.delete(address("declared")).status_code == 204


def test_odd_schedules_are_listed_and_can_be_deleted(client: TestClient, scheduler: Scheduler) -> None:
    scheduler.schedules.add("good", "noop", every=3600)
    model, collection = stored(scheduler, "good"), scheduler.store.schedules.collection
    for field, values in ODD.items():
        for number, value in enumerate(values):
            odd = {**model, "_id": f"odd {field} {number}", field: value}
            collection.insert_one({name: value for name, value in odd.items() if value is not None})
    records = client.get(f"{PATH}?limit=1000").json()
    assert len(records) == collection.count_documents({})
    TypeAdapter(list[ScheduleRecord]).validate_python(records)
    assert {one["fault"] is not None for one in records if one["state"] == "unreadable"} == {True}
    for name in some(collection.distinct("_id", {"_id": {"$type": "string"}})):
        for verb, more in (("GET", ""), ("GET", "/next"), ("POST", "/run"), ("POST", "/pause"), ("POST", "/resume")):
            assert client.request(verb, address(name, more)).status_code in (200, 201, 409), (name, more)
        assert client.delete(address(name)).status_code == 204


def test_it_is_served_under_the_path_of_a_proxy(scheduler: Scheduler) -> None:
    app = create_app(scheduler, ["noop"], None, [], "/ops")
    with TestClient(app, HOME) as client:
        for before in ("/ops", ""):
            answer = client.put(before + address("a/b"), json=NIGHTLY)
            assert answer.json()["name"] == "a/b"
        scheduler.schedules.add("c", "noop", every=60)
        answer = client.get(f"/ops{PATH}?limit=1")
        assert answer.links["next"]["url"] == "/ops/api/v1/schedules?after=a%2Fb&limit=1"
        assert client.delete("/ops" + address("a/b")).status_code == 204
    with pytest.raises(ScheduleNotFoundError):
        scheduler.schedules.get("a/b")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)
GOOD: dict[str, st.SearchStrategy[Any]] = {
    "cron": st.sampled_from(["* * * * *", ["H H * * *", "@hourly"], "0 0 29 2 *", "59 23 L 12 7"]),
    "rrule": st.sampled_from(["FREQ=DAILY", "FREQ=YEARLY;BYDAY=MO"]),
    "timezone": st.sampled_from(["UTC", "Europe/Zurich", "Australia/Lord_Howe"]),
    "exclude": st.sampled_from(["2027-12-25", ["* * * * sun", "2027-01-01"], []]),
    "start": st.sampled_from(["2027-01-01T00:00:00Z", "1970-01-01T00:00:00Z"]),
    "end": st.sampled_from(["9000-12-31T23:59:59Z", {"$date": "2090-01-01T00:00:00Z"}]),
    "runs": st.integers(1, 2**31 - 1),
    "jitter": st.floats(0, 10**6),
    "overlap": st.sampled_from(["skip", "buffer_one", "allow"]),
    "data": st.dictionaries(st.text(), VALUES),
    "retry": st.integers(-1, 100),
    "tags": st.lists(st.text(min_size=1, max_size=5), max_size=3),
    "solo": st.booleans() | st.text(min_size=1, max_size=5),
}
USUAL: dict[str, st.SearchStrategy[Any]] = {
    "job": st.just("noop"),
    "every": st.integers(1, 10**8) | st.floats(1, 10**8),
}
NAME = st.text(st.characters(exclude_categories=("C", "Z")) | st.just(" "), min_size=1, max_size=10).filter(
    lambda text: text not in (".", "..")
)
BODIES = st.fixed_dictionaries(USUAL, optional=GOOD) | st.sampled_from(
    [*GOOD, "seconds", "missed", "queue", "x"]
).flatmap(lambda option: st.fixed_dictionaries({**USUAL, option: VALUES}))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAME, BODIES | VALUES)
def test_any_name_and_any_body(client: TestClient, name: str, body: Any) -> None:
    quoted = "".join(f"%{byte:02x}" for byte in name.encode("utf-8", "surrogatepass"))
    answer = client.put(f"{PATH}/{quoted}", content=json.dumps(body), headers={"Content-Type": "application/json"})
    assert answer.status_code in (200, 201, 400), answer.text
    if answer.status_code == 400:
        assert Problem.model_validate_json(answer.content).status == 400
        return
    assert ScheduleRecord.model_validate_json(answer.content).name == name
    for verb, more, shape in (
        ("GET", "", ScheduleRecord),
        ("GET", "/next", list[NextTime]),
        ("POST", "/run", JobRecord),
        ("POST", "/resume", ScheduleRecord),
    ):
        TypeAdapter(shape).validate_json(client.request(verb, f"{PATH}/{quoted}{more}").content)
    assert client.get("/schedules").status_code == 200
    assert client.delete(f"{PATH}/{quoted}").status_code == 204
