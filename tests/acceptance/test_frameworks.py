"""The pages on FastAPI, Flask and Django: the applications that they show add jobs, and a node runs them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import django
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient
from tests.support.calls import hello as greet
from tests.support.eventually import eventually
from tests.support.nodes import NodeProcess
from tests.support.pages import DOCS, modules

from taskscheduler import Scheduler, default_scheduler, set_default_scheduler
from taskscheduler_daemon.contrib.fastapi import scheduler_lifespan

PROBES = {
    "fastapi": """
from starlette.testclient import TestClient
from myapp import app
def call(client, method, path, **given):
    return getattr(client, method)(path, **given).json()
client = TestClient(app)
client.__enter__()
add = lambda: call(client, "post", "/thumbnails", params={"name": "a.png"})["id"]
look = lambda id: call(client, "get", f"/thumbnails/{id}")
""",
    "flask": """
from myapp import create_app
client = create_app().test_client()
add = lambda: client.post("/greetings/Will").json["id"]
look = lambda id: client.get(f"/greetings/{id}").json
""",
}

WAIT = """
import time
id = add()
until = time.monotonic() + 30
while (found := look(id))["status"] not in ("DONE", "FAILED") and time.monotonic() < until:
    time.sleep(0.05)
print(found["status"], found["result"])
"""


@pytest.fixture
def folder(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    name = request.node.callspec.params["name"]
    for module, text in modules((DOCS / "how-to" / f"{name}.md").read_text()).items():
        (tmp_path / f"{module}.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "jobs", "result"), [("fastapi", "myapp", "100-a.png"), ("flask", "jobs", "Hello Will")]
)
def test_the_application_of_the_page_adds_jobs_and_shows_their_results(
    uri: str, folder: Path, start_node: Callable[..., NodeProcess], name: str, jobs: str, result: str
) -> None:
    environment = {"TASKSCHEDULER_URI": uri, "FLASK_TASKSCHEDULER_URI": uri}
    start_node(jobs=[jobs], late=f"import sys; sys.path.insert(0, {str(folder)!r})")
    assert run([sys.executable, "-c", PROBES[name] + WAIT], folder, environment) == f"DONE {result}"


def run(command: list[str], folder: Path, environment: dict[str, str]) -> str:
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **environment}, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


class Project:
    """A Django project with the settings, the tasks and the views of the page."""

    def __init__(self, folder: Path, uri: str) -> None:
        self._folder = folder
        run([sys.executable, "-m", "django", "startproject", "site1", "."], folder, {})
        run([sys.executable, "manage.py", "startapp", "shop"], folder, {})
        page = modules((DOCS / "how-to" / "django.md").read_text())
        settings = page["settings"].replace("mongodb://host/app", uri)
        with (folder / "site1" / "settings.py").open("a") as file:
            file.write(f"\n{settings}\nINSTALLED_APPS += ['shop']\nALLOWED_HOSTS = ['testserver']\n")
        tasks = page["tasks"] if has_django_tasks() else page["tasks"].replace("django.tasks", "django_tasks")
        (folder / "shop" / "tasks.py").write_text(tasks + BROKEN)
        (folder / "shop" / "views.py").write_text(page["views"])
        (folder / "site1" / "urls.py").write_text(URLS)

    def manage(self, *arguments: str) -> str:
        return run([sys.executable, "manage.py", *arguments], self._folder, {})

    def evaluate(self, program: str) -> object:
        """What a program leaves in `found`, with Django set up."""
        text = f"import json, django; django.setup()\n{program}\nprint(json.dumps(found))"
        return json.loads(run([sys.executable, "-c", text], self._folder, {"DJANGO_SETTINGS_MODULE": "site1.settings"}))

    @contextmanager
    def node(self) -> Iterator[None]:
        log = self._folder / "node.log"
        with log.open("w") as output:
            node = subprocess.Popen(
                [sys.executable, "manage.py", "taskscheduler", "node"], cwd=self._folder, stderr=output, stdout=output
            )
            try:
                eventually(lambda: "node ready" in log.read_text(), 30, "the node is ready")
                yield
                node.terminate()
                assert node.wait(30) == 0, log.read_text()
            finally:
                node.kill()
                node.wait()


BROKEN = """

@task
def break_down(why):
    raise ValueError(why)
"""

URLS = """
from django.urls import path
from shop import views
urlpatterns = [path("order", views.order), path("look/<id>", views.look)]
"""

FINISHED = """
import time
def finished(result):
    until = time.monotonic() + 30
    while not result.is_finished and time.monotonic() < until:
        time.sleep(0.05)
        result.refresh()
    return result
"""


def has_django_tasks() -> bool:
    return bool(django.VERSION >= (6,))


def test_a_django_project_runs_its_tasks(uri: str, tmp_path: Path) -> None:
    project = Project(tmp_path, uri)
    project.manage("check")
    with project.node():
        assert project.evaluate(
            FINISHED + "from shop.tasks import *\n"
            "ended = [finished(one) for one in (send_mail.enqueue('a@b.c', subject='Hi'), count_attempts.enqueue(),"
            " fetch.enqueue('http://host'))]\n"
            "broken = finished(break_down.enqueue('gone'))\n"
            "found = [[one.return_value for one in ended], [one.attempts for one in ended], broken.status,"
            " broken.errors[0].exception_class.__name__, broken.errors[0].traceback.splitlines()[-1]]"
        ) == [["Hi to a@b.c", 1, "fetched http://host"], [1, 1, 1], "FAILED", "ValueError", "ValueError: gone"]
        assert project.evaluate(
            FINISHED + "from django.test import Client; from shop.tasks import send_mail\n"
            "id = Client().get('/order').json()['id']; finished(send_mail.get_result(id))\n"
            "found = Client().get(f'/look/{id}').json()"
        ) == {"status": "SUCCESSFUL", "value": "Your order to a@b.c"}
    listed = json.loads(project.manage("taskscheduler", "--output", "json", "list", "--status", "postponed"))
    assert [(one["class"], one["queue"], one["priority"]) for one in listed] == [("shop.tasks.send_mail", "mail", 10)]


@pytest.mark.faults  # Django starts six times
def test_what_is_wrong_in_the_settings_is_said_with_the_cure(uri: str, tmp_path: Path) -> None:
    project = Project(tmp_path, uri)
    for options, message in (
        ({"url": uri}, "TASKS['default']['OPTIONS'] has no option 'url'; it takes uri, job, tasks"),
        ({"job": {"retries": 3}}, "TASKS['default']['OPTIONS']: invalid option retries given; did you mean retry?"),
        ({"uri": "mongodb://host"}, "the URI must name a database"),
    ):
        program = (
            "from django.core.exceptions import ImproperlyConfigured\n"
            "from taskscheduler_daemon.contrib.django.backend import TaskSchedulerBackend\n"
            "try:\n"
            f"    TaskSchedulerBackend('default', {{'OPTIONS': {options!r}}})\n"
            "except ImproperlyConfigured as error:\n"
            "    found = str(error)"
        )
        assert message in str(project.evaluate(program))
    unknown = "try:\n    send_mail.get_result('nothing')\nexcept Exception as error:\n    found = type(error).__name__"
    assert project.evaluate(f"from shop.tasks import send_mail\n{unknown}") == "TaskResultDoesNotExist"


def test_the_scheduler_of_a_fastapi_application_is_the_default_one_while_it_runs(
    uri: str, scheduler: Scheduler
) -> None:
    set_default_scheduler(scheduler)
    try:
        app = FastAPI(lifespan=scheduler_lifespan(uri))
        for _ in range(2):  # a test may start it again
            with TestClient(app):
                assert default_scheduler() is not scheduler
                assert default_scheduler().get_job(greet.add("Will").id).data == ["Will"]
            assert default_scheduler() is scheduler
    finally:
        set_default_scheduler(None)
