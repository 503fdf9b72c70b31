"""What units, containers and pods run starts in the image of the Dockerfile, works, and stops within its time.

It builds the image with pip, which takes minutes.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest

from taskscheduler import Scheduler
from tests.scale.images import USER, Image, instructions, needs_namespaces
from tests.support.deploying import UNITS, Started, of_chart, of_compose, of_unit, rendered
from tests.support.eventually import eventually
from tests.support.service_managers import Listening

pytestmark = [pytest.mark.scale, pytest.mark.timeout(1200)]

TOKEN = "a token of the test"

VALUES = {
    "image": {"repository": "app"}, "mongodb": {"uri": "mongodb://host/app"}, "jobs": ["myapp.jobs"],
    "web": {"token": TOKEN},
}  # fmt: skip

JOBS = """
import os
from pathlib import Path
from taskscheduler import job

@job(name="look")
def look() -> dict:
    Path("/tmp/mine").write_text("x")
    try:
        Path("/opt/mine").write_text("x")
        return {}
    except OSError as error:
        return {"user": os.getuid(), "error": error.errno, "socket": os.environ.get("NOTIFY_SOCKET")}
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image, built once."""
    needs_namespaces()
    folder = tmp_path_factory.mktemp("image")
    folder.chmod(0o755)
    return Image(folder)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """An application, as its image or its machine has it."""
    folder = tmp_path / "app"
    (folder / "myapp").mkdir(parents=True)
    (folder / "myapp" / "jobs.py").write_text(JOBS)
    (folder / "example.py").write_text(JOBS)
    (folder / "token").write_text(TOKEN)
    return folder


def started(name: str) -> Started:
    kind, component = name.split()
    if kind == "unit":
        return of_unit(UNITS / f"taskscheduler-{component}.service")
    return of_compose(component) if kind == "compose" else of_chart(rendered(VALUES), component)


def here(given: Started, uri: str, port: int) -> Started:
    """The same on this machine: with a database of the test, on the loopback address and on a free port."""
    changes = {
        "TASKSCHEDULER_URI": uri,
        "TASKSCHEDULER_METRICS_HOST": "127.0.0.1",
        "TASKSCHEDULER_WEB_HOST": "127.0.0.1",
    }
    kept = {
        **given.environment,
        **changes,
        "TASKSCHEDULER_WEB_PORT": str(port),
        "TASKSCHEDULER_METRICS_PORT": str(port),
    }
    if "TASKSCHEDULER_WEB_TOKEN" in kept:
        kept["TASKSCHEDULER_WEB_TOKEN"] = TOKEN
    arguments = [one.replace("${CREDENTIALS_DIRECTORY}", "/mnt") for one in given.arguments]
    return replace(given, arguments=arguments, environment=kept)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def answers(url: str, token: str = "") -> bool:
    try:
        with urlopen(Request(url, headers={"Authorization": f"Bearer {token}"} if token else {}), timeout=10) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


@pytest.fixture
def systemd() -> Iterator[Listening]:
    found = Listening(f"@taskscheduler-deployed-{os.getpid()}")
    yield found
    found.close()


@pytest.mark.parametrize("name", ["unit node", "unit web", "compose node", "compose web", "chart node", "chart web"])
def test_it_starts_works_and_stops_in_time(
    name: str, image: Image, app: Path, scheduler: Scheduler, uri: str, systemd: Listening, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "log"
    given = here(started(name), uri, port)
    if name.startswith("unit"):
        given = replace(given, environment={**given.environment, "NOTIFY_SOCKET": systemd.address})
    process = image.start(given, app, log)
    try:
        eventually(lambda: process.poll() is not None or answers(f"http://127.0.0.1:{port}/readyz"), 120, "ready")
        assert process.poll() is None, log.read_text()
        if name.startswith("unit"):
            systemd.wait_for("READY=1")
        assert answers(f"http://127.0.0.1:{port}/livez")
        if name.endswith("node"):
            (done,) = scheduler.wait_for([scheduler.add_job("look")], timeout=60)
            assert done.result_value == {"user": USER, "error": 30, "socket": None}, log.read_text()  # 30: read-only
        else:
            assert not answers(f"http://127.0.0.1:{port}/api/v1/status")
            assert answers(f"http://127.0.0.1:{port}/api/v1/status", TOKEN)
        begun = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(given.grace) == 0, log.read_text()
        assert time.monotonic() - begun < given.grace / 2
    finally:
        process.kill()
        process.wait()


def test_the_image_lists_what_is_in_it(image: Image) -> None:
    found = json.loads((image.root / "taskscheduler" / "sbom.cdx.json").read_text())
    named = {component["name"].lower().replace("_", "-") for component in found["components"]}
    assert {"mongo-taskscheduler", "pymongo", "blinker", "click", "fastapi", "prometheus-client"} <= named
    assert "cyclonedx-bom" not in named


def test_the_image_has_labels_and_another_user_than_root() -> None:
    last = instructions(1)
    labels = " ".join(rest for name, rest in last if name == "LABEL")
    for label in ("title", "description", "licenses", "version", "revision", "base.name"):
        assert f"org.opencontainers.image.{label}=" in labels
    assert ("USER", str(USER)) in last
    assert ("STOPSIGNAL", "SIGTERM") in last
