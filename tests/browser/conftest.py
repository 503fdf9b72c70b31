"""One web server with jobs of every kind, and one browser, for all tests of a file."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from bson import ObjectId
from playwright.sync_api import Browser, BrowserContext, Dialog, Page, expect, sync_playwright
from tests.browser.filling import filled

from taskscheduler import Scheduler
from taskscheduler_daemon.web.app import create_app
from taskscheduler_daemon.web.http.server import web_server

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

_PATIENCE = 30_000  #: milliseconds; the machine may do something else


@dataclass(frozen=True, slots=True)
class Site:
    """Pages on a server of their own."""

    address: str
    port: int
    scheduler: Scheduler
    flow: ObjectId
    job: ObjectId  #: a failed one, whose texts are hostile


@contextmanager
def serving(scheduler: Scheduler, root: str = "") -> Iterator[int]:
    """Serves the pages in a thread; gives the port."""
    listening = socket.create_server(("127.0.0.1", 0))
    server = web_server(create_app(scheduler, ["noop"], None, [], root), False)
    running = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
    running.start()
    try:
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        running.join(20)
        listening.close()


@pytest.fixture(scope="module")
def site(server_uri: str) -> Iterator[Site]:
    name = f"test_{ObjectId()}"
    with Scheduler(server_uri.format(name)) as scheduler:
        flow, job = filled(scheduler)
        with serving(scheduler) as port:
            yield Site(f"http://127.0.0.1:{port}", port, scheduler, flow, job)
        scheduler.store.database.client.drop_database(name)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser. It ends with the file, since as long as it runs no other event loop can."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed; tests/setup.sh installs it on Debian and Ubuntu")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(_PATIENCE)
    expect.set_options(timeout=_PATIENCE)
    yield context
    context.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A page whose faults fail the test: errors of scripts, refused files, dialogs of hostile texts."""
    page, faults = context.new_page(), list[str]()
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)

    def dismissed(dialog: Dialog) -> None:
        faults.append(dialog.message)
        dialog.dismiss()

    page.on("dialog", dismissed)
    yield page
    assert faults == []
