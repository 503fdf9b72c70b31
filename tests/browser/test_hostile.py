"""Pages that show endless words, other directions and signs that do not print are neither wide nor cut off."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bson import ObjectId
from playwright.sync_api import Page, expect
from tests.browser import hostile
from tests.browser.conftest import Site, serving
from tests.browser.test_dashboard import KINDS, address

from taskscheduler import Scheduler

PAGES = (*KINDS, "/jobs", "/jobs/JOB/delete", "/schedule?name=model", "/flows", "/nodes?done=drain")

#: what is wider than the window, what scrolls to the side though its cells could break, and rows that fill a screen
FAULTS = """() => {
  const found = [], wide = document.documentElement.scrollWidth;
  if (wide > innerWidth) found.push(`the page takes ${wide} pixels`);
  for (const one of document.querySelectorAll(".wide:has(> table)"))
    if (one.scrollWidth > one.clientWidth + 1) found.push(`${one.ariaLabel}: ${one.scrollWidth} of ${one.clientWidth}`);
  for (const row of document.querySelectorAll("tbody tr"))
    if (row.offsetHeight > 600) found.push(`a row of ${row.closest(".wide").ariaLabel} is ${row.offsetHeight} high`);
  return found;
}"""


@pytest.fixture(scope="module")
def odd_site(server_uri: str) -> Iterator[Site]:
    name = f"test_{ObjectId()}"
    with Scheduler(server_uri.format(name)) as scheduler:
        flow, job = hostile.filled(scheduler)
        with serving(scheduler) as port:
            yield Site(f"http://127.0.0.1:{port}", port, scheduler, flow, job)
        scheduler.store.database.client.drop_database(name)


@pytest.mark.parametrize("width", [390, 1400])
def test_no_text_makes_a_page_wide_or_a_row_endless(page: Page, odd_site: Site, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 844})
    found = {}
    for path in PAGES:
        page.goto(address(odd_site, path), wait_until="load")
        expect(page.locator("h1")).to_have_count(1)
        if faults := page.evaluate(FAULTS):
            found[path] = faults
    assert found == {}
