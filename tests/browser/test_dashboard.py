"""The pages in a browser: with and without scripts, by the keys alone, live, narrow and wide, light and dark."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect
from tests.browser.conftest import Site, serving
from tests.browser.filling import FINGERPRINT, SCRIPT
from tests.browser.proxy import proxy
from tests.support.web import ended, says

from taskscheduler import Status

#: one page of each kind
KINDS = ("/", "/jobs?q=status:failed", "/jobs/JOB", "/failures", "/schedules", "/flows/FLOW", "/control", "/nodes",
         "/history?since=1h", "/audit", "/jobs/many?all=retry&q=status:failed")  # fmt: skip

PAGES = (*KINDS, "/jobs", "/jobs/JOB/delete", "/schedule?name=nightly", "/schedule/pause?name=nightly", "/flows")

#: what WCAG 2.2 AA asks of a page
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}

COLOURS = {"runOnly": ["color-contrast"], "resultTypes": ["violations"]}


def address(site: Site, path: str) -> str:
    return site.address + path.replace("JOB", str(site.job)).replace("FLOW", str(site.flow))


def findings(page: Page, options: dict[str, list[str]]) -> list[str]:
    """What axe finds, each with the first places."""
    found = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {[node['html'][:150] for node in one['nodes'][:3]]}" for one in found]


def open_page(page: Page, site: Site, path: str) -> None:
    """Opens a page; its own refusal is no fault."""
    page.goto(address(site, path), wait_until="load")
    expect(page.locator("h1")).to_have_count(1)


@pytest.mark.parametrize("path", KINDS)
def test_axe_finds_nothing_in_light_and_dark(page: Page, site: Site, path: str) -> None:
    open_page(page, site, path)
    assert findings(page, RULES) == []
    page.emulate_media(color_scheme="dark")
    assert findings(page, COLOURS) == []


def test_no_page_is_wider_than_a_phone(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for path in PAGES:
        open_page(page, site, path)
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path


def test_every_page_works_without_scripts(browser: Browser, site: Site) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for path in PAGES:
        open_page(page, site, path)
        expect(page.locator(".pages a[href='/jobs']")).to_be_visible()
    job = site.scheduler.add_job("noop")
    page.goto(address(site, f"/jobs/{job.id}"))
    page.get_by_role("link", name="Cancel…").click()
    page.get_by_role("button", name="Cancel the job").click()
    expect(page.get_by_role("status")).to_contain_text("The job is cancelled.")
    assert job.refresh().status is Status.CANCELED
    page.goto(address(site, "/jobs?q=class:noop+status:waiting"))
    page.locator(".pick").first.check()
    page.get_by_role("button", name="Cancel…").click()
    expect(page.locator("h1")).to_have_text("Cancel 1 job?")
    context.close()


def test_three_steps_lead_from_the_overview_to_a_retry_of_what_failed(page: Page, site: Site) -> None:
    open_page(page, site, "/")
    page.get_by_role("link", name=re.compile("^Retry the jobs of")).first.click()
    expect(page.locator("h1")).to_contain_text("Retry 4 jobs?")
    expect(page.locator(".subject")).to_contain_text(FINGERPRINT)
    page.get_by_label("Why?").fill("fixed")
    page.get_by_role("button", name="Retry 4 jobs").focus()
    expect(page.get_by_role("button", name="Retry 4 jobs")).to_be_focused()


def test_two_steps_lead_from_the_overview_to_the_end_of_a_pause(page: Page, site: Site) -> None:
    site.scheduler.pause(queue="mail", reason="SMTP is down")
    open_page(page, site, "/")
    expect(page.locator("#queues")).to_contain_text("paused")
    told = page.locator("#health .note-bar").filter(has_text="Paused: queue mail")
    expect(told).to_contain_text("SMTP is down")
    told.get_by_role("link", name="Resume…").click()
    page.get_by_role("button", name="Resume queue mail").click()
    expect(page.get_by_role("status")).to_be_visible()
    assert "mail" not in {one.name for one in site.scheduler.pauses()}


def test_a_step_leads_from_the_overview_to_the_node_that_was_lost(page: Page, site: Site) -> None:
    open_page(page, site, "/")
    page.get_by_role("link", name="Show nodes").click()
    expect(page.locator("h1")).to_have_text("Nodes 1 up, 1 lost")
    expect(page.locator(".node").first).to_contain_text("The other nodes have taken back its jobs.")


def test_what_is_typed_before_the_words_are_there_is_completed_when_they_come(page: Page, site: Site) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/jobs/words", hold)
    open_page(page, site, "/jobs")
    with page.expect_request("**/jobs/words"):
        page.keyboard.press("/")
    page.keyboard.type("stat")
    expect(page.get_by_role("listbox")).to_be_hidden()
    held[0].continue_()
    expect(page.get_by_role("listbox")).to_be_visible()


def test_the_keys_alone_filter_select_and_ask(page: Page, site: Site) -> None:
    open_page(page, site, "/jobs")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    with page.expect_response("**/jobs/words"):
        page.keyboard.press("/")
    expect(page.locator("#q")).to_be_focused()
    page.keyboard.type("stat")
    expect(page.get_by_role("listbox")).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.keyboard.type("wai")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Tab")
    expect(page.locator("#q")).to_have_value("status:waiting ")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"q=status%3Awaiting"))
    expect(page.locator(".tabs [aria-current]")).to_contain_text("waiting")
    page.locator("#pickall").focus()
    page.keyboard.press("Space")
    expect(page.locator("#picked")).to_have_text("50 selected:")
    page.get_by_role("button", name="Cancel…").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("Cancel 50 jobs?")
    page.go_back()
    expect(page.locator(".tabs [aria-current]")).to_contain_text("waiting")


def test_a_job_is_followed_as_it_changes(page: Page, site: Site) -> None:
    job = site.scheduler.add_job("noop")
    open_page(page, site, f"/jobs/{job.id}")
    expect(page.locator("#live")).to_have_text("live")
    expect(page.locator(".head .status")).to_contain_text("waiting")
    page.evaluate("window.same = document.querySelector('h1')")
    job.cancel()
    expect(page.locator(".head .status")).to_contain_text("canceled")
    assert page.evaluate("window.same === document.querySelector('h1')"), "the page is changed, not loaded again"


def test_the_log_of_a_job_grows_while_it_runs(page: Page, site: Site) -> None:
    job = ended(site.scheduler, Status.PROCESSING)
    open_page(page, site, f"/jobs/{job}")
    log = page.locator("#log pre")
    expect(log).to_have_text("Nothing yet.")
    page.route(f"**/jobs/{job}", lambda route: route.fulfill(status=204))  # so that the page itself brings no line
    for number in range(3):
        says(site.scheduler, job, number, SCRIPT, *(f"line {number} {line}" for line in range(99)))
        expect(log).to_contain_text(f"line {number} 98")
    expect(log.locator("span")).to_have_count(200)
    expect(log).not_to_contain_text("line 0")
    expect(log).not_to_contain_text("Nothing yet")
    assert log.evaluate("it => it.scrollHeight - it.scrollTop - it.clientHeight") < 40, "the newest line is seen"
    log.evaluate("it => { it.scrollTop = 0; }")
    says(site.scheduler, job, 3, "last words")
    expect(log).to_contain_text("last words")
    assert log.evaluate("it => it.scrollTop") < 40, "who reads is not carried away"
    texts = log.locator("span").all_inner_texts()
    numbered = [text for text in texts if SCRIPT not in text]
    assert len(set(numbered)) == len(numbered), "no line twice"


def test_nothing_that_was_typed_or_selected_is_lost_by_an_update(page: Page, site: Site) -> None:
    open_page(page, site, "/jobs?q=class:noop+status:waiting")
    first = page.locator("tbody tr").first
    name = first.get_attribute("id")
    first.locator(".pick").check()
    expect(page.locator("#live")).to_have_text("paused: rows are selected")
    added = site.scheduler.add_job("noop")
    page.wait_for_timeout(2500)
    expect(page.locator(f"#{name} .pick")).to_be_checked()
    assert first.get_attribute("id") == name
    page.locator(f"#{name} .pick").uncheck()
    expect(page.locator(f"#j{added.id}")).to_be_visible()
    page.locator("#q").press("End")
    page.locator("#q").press_sequentially(" created:")
    expect(page.locator("#live")).to_have_text("paused: something is typed")
    added.cancel()
    page.wait_for_timeout(2500)
    expect(page.locator("#q")).to_have_value("class:noop status:waiting created:")
    page.locator("#q").fill("class:noop status:waiting")
    expect(page.locator(f"#j{added.id}")).to_have_count(0)
    page.locator("#live").click()
    expect(page.locator("#live")).to_have_text("paused")
    page.reload()
    expect(page.locator("#live")).to_have_text("paused")  # the choice stays
    page.locator("#live").click()


def test_many_changes_cost_a_page_no_more_than_one_a_second(page: Page, site: Site) -> None:
    open_page(page, site, "/jobs?q=status:waiting")
    expect(page.locator("#live")).to_have_text("live")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if request.resource_type == "fetch" else None)
    before = page.evaluate("document.querySelectorAll('*').length")
    with page.expect_request(lambda request: request.resource_type == "fetch"):
        for _ in range(4):
            site.scheduler.add_jobs([("noop", None, {"queue": "burst"})] * 250)
            page.wait_for_timeout(500)
    page.wait_for_timeout(1500)
    assert len(asked) <= 6
    assert page.evaluate("document.querySelectorAll('*').length") < before + 400, "as many rows as before"
    assert page.locator("ul.suggest").count() == 1, "updates do not begin to complete the filter again"


def test_back_links_and_places_of_a_page_work(page: Page, site: Site) -> None:
    open_page(page, site, "/jobs?q=status:failed")
    page.locator("tbody a.name").first.click()
    expect(page.locator("#error")).to_contain_text(SCRIPT)
    page.go_back()
    assert "status:failed" in page.url
    page.get_by_role("link", name="Remove status:failed").click()
    assert page.url.endswith("/jobs")
    page.goto(address(site, "/control?kind=queue&pause=mail#pause"))
    expect(page.locator("input[name=name]").first).to_have_value("mail")


def test_pages_and_their_stream_work_under_a_path_of_a_proxy(context: BrowserContext, page: Page, site: Site) -> None:
    with serving(site.scheduler, "/ops/jobs") as behind, proxy(behind, "/ops/jobs") as port:
        base = f"http://127.0.0.1:{port}/ops/jobs"
        page.goto(f"{base}/jobs?q=status:waiting")
        expect(page.locator("#live")).to_have_text("live")
        job = site.scheduler.add_job("noop")
        expect(page.locator(f"#j{job.id}")).to_be_visible()
        page.locator(f"#j{job.id} a.name").click()
        assert page.url == f"{base}/jobs/{job.id}"
        page.get_by_role("link", name="Cancel…").click()
        page.get_by_role("button", name="Cancel the job").click()
        expect(page.get_by_role("status")).to_contain_text("The job is cancelled.")
        assert page.url.startswith(f"{base}/jobs/{job.id}")
        page.close()
