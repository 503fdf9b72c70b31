"""The pages of flows: the list, the graph of one, whatever its names and its size, and what its forms do."""

from __future__ import annotations

import html
import re
from pathlib import Path

import pytest
from bson import ObjectId
from starlette.testclient import TestClient
from tests.integration.web.test_schedule_pages import confirmed
from tests.support.flowing import order
from tests.support.web import without_own

from taskscheduler import Flow, Scheduler, Status
from taskscheduler.flow_state import RunningFlow
from taskscheduler.testing import InlineNode
from taskscheduler_daemon.web.pages.flows import routes

SCRIPT = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"

NAMES = [SCRIPT, "]]>--><svg/onload=alert(1)>", "{{ 7 * 7 }}", "مرحبا بالعالم", "漢字🎉", "W" * 200, "a & b"]


def ran(scheduler: Scheduler, flow: Flow) -> RunningFlow:
    running = scheduler.flows.add(flow)
    with InlineNode(scheduler) as node:
        node.run_until_idle()
    return running.refresh()


def graph(text: str) -> str:
    [found] = re.findall(r'<svg class="graph".*?</svg></div>', text, re.DOTALL)
    return str(found)


def boxes(text: str) -> list[tuple[str, str]]:
    """The class and the tooltip of each box of the graph."""
    found = re.findall(r'<a href="[^"]+" class="([^"]+)"><title>([^<]*)</title>', graph(text))
    return [(kind, html.unescape(title)) for kind, title in found]


def test_without_flows_the_page_says_how_to_begin(client: TestClient) -> None:
    text = client.get("/flows").text
    assert "scheduler.flows.add(flow)" in text
    assert 'href="/flows" aria-current="page"' in text
    assert "No such flows" in client.get("/flows?name=x").text
    for query in ("status=odd", "before=x", "name=%00"):
        assert client.get(f"/flows?{query}").status_code == 400


def test_the_list_has_status_progress_and_counts(client: TestClient, scheduler: Scheduler) -> None:
    done, failed = ran(scheduler, order(2, name="order 1")), ran(scheduler, order(3, broken=[0], name="order 2"))
    going = scheduler.flows.add(order(1, name="bill 3"))
    text = client.get("/flows").text
    assert re.findall(r'href="/flows/([0-9a-f]{24})"', text) == [str(going.id), str(failed.id), str(done.id)]
    assert re.findall(r"</svg> (\d+%)", text) == ["0%", "100%", "100%"]
    assert "5 jobs: 1 failed, 1 canceled, 3 done" in text
    assert re.findall(r'<rect class="(\w+)"', text) == ["failed", "done", "canceled", "done"]
    for query, found in (("status=failed", [failed]), ("name=order", [failed, done]), ("name=bill&status=done", [])):
        text = client.get(f"/flows?{query}").text
        assert re.findall(r'href="/flows/([0-9a-f]{24})"', text) == [str(one.id) for one in found]


def test_the_list_has_pages(client: TestClient, scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "PAGE", 2)
    added = [str(scheduler.flows.add(order(1, name="x & y")).id) for _ in range(5)]
    address, seen = "/flows?name=x+%26&status=running", list[str]()
    while address:
        text = client.get(address).text
        seen += re.findall(r'<a class="name clamped" dir="auto" href="/flows/([0-9a-f]{24})"', text)
        address = html.unescape(next(iter(re.findall(r'href="([^"]+)" rel="next"', text)), ""))
    assert seen == added[::-1]
    assert "Newest</a>" in client.get(f"/flows?before={added[2]}").text


def test_a_flow_shows_its_graph_and_what_failed(client: TestClient, scheduler: Scheduler) -> None:
    flow = ran(scheduler, order(20, broken=[7], name="order 42"))
    text = client.get(f"/flows/{flow.id}").text
    assert "order 42</h1>" in text
    found = boxes(text)
    assert [kind for kind, _ in found] == ["done", "done", "done", "done", "failed", "more", "canceled"]
    assert found[4][1].startswith("Pack 7 (fail): failed")
    assert "ValueError: part 7 is broken" in found[4][1]
    assert found[5][1] == "16 more: ✓ 16 done"
    drawn = graph(text)
    assert re.findall(r'<text class="step"[^>]*>([^<]+)<', drawn) == ["Step 1", "Step 2", "Step 3"]
    assert re.findall(r">✗</text>.*?>(failed)", drawn), "by a sign and a word, not by colour alone"
    assert f'href="/jobs/{flow.processes[8].id}"' in drawn
    labels = re.findall(r'<a class="name clamped" dir="auto" href="/jobs/[0-9a-f]{24}">([^<]+)<', text)
    assert (labels[0], len(labels)) == ("Pack 7", 20)
    assert "ValueError: part 7 is broken" in text
    assert "20 of 22 jobs" in text


def test_boxes_lead_to_jobs_and_folded_ones_to_a_list(client: TestClient, scheduler: Scheduler) -> None:
    flow = ran(scheduler, order(20))
    text = client.get(f"/flows/{flow.id}").text
    addresses = list(map(html.unescape, re.findall(r'<a href="([^"]+)" class="(?:more|done)[^"]*">', graph(text))))
    assert len(addresses) == 7
    for address in addresses:
        assert client.get(address).status_code == 200
    [folded] = [address for address in addresses if address.startswith("/jobs?")]
    assert len(set(re.findall(r'<a class="name" href="/jobs/([0-9a-f]{24})"', client.get(folded).text))) == 22
    counts = list(map(html.unescape, re.findall(r'<li><a href="(/jobs\?q=flow[^"]+)"><b>', text)))
    assert len(re.findall(r'<a class="name" href', client.get(counts[0]).text)) == 22


def test_many_steps_are_shown_a_part_at_a_time(client: TestClient, scheduler: Scheduler) -> None:
    flow, before = Flow("deep"), list[object]()
    for _ in range(60):
        before = [flow.add("noop", after=before)]
    running = scheduler.flows.add(flow)
    address, seen = f"/flows/{running.id}", set[str]()
    for _ in range(20):
        text = client.get(address).text
        seen |= set(re.findall(r'<a href="/jobs/([0-9a-f]{24})"', graph(text)))
        further = re.findall(r'<a href="([^"]+step=\d+)" class="more', graph(text))
        address = html.unescape(further[-1])
        if len(seen) == 60:
            break
    assert len(seen) == 60
    for step in ("0", "-1", "x", "1e9"):
        assert client.get(f"/flows/{running.id}?step={step}").status_code == 400
    assert client.get(f"/flows/{running.id}?step=1000000").status_code == 200


@pytest.mark.parametrize("name", NAMES)
def test_names_are_harmless(client: TestClient, scheduler: Scheduler, name: str) -> None:
    flow = Flow(name)
    first = flow.add("fail", name, label=name)
    flow.add("noop", after=[first], label=f"{name}"[:190] + " 2", on_failure="run")
    running = ran(scheduler, flow)
    for path in ("/flows", f"/flows/{running.id}", f"/flows/{running.id}/retry", f"/jobs/{running.processes[0].id}"):
        text = client.get(path).text
        assert not re.search(r"<script|<img|<svg/onload", without_own(text)), path
        assert name[:10] in html.unescape(text), path
    assert len(boxes(client.get(f"/flows/{running.id}").text)) == 2


def test_a_large_flow_has_a_small_page(client: TestClient, scheduler: Scheduler) -> None:
    flow = Flow("large")
    before = [flow.add("noop") for _ in range(60)]
    for _ in range(30):
        before = [flow.add("noop", after=before) for _ in range(60)]
    running = scheduler.flows.add(flow)
    text = client.get(f"/flows/{running.id}").text
    assert "20 of 1860 jobs" in text
    assert len(text) < 35_000


def test_a_flow_that_runs_can_be_followed_without_scripts(client: TestClient, scheduler: Scheduler) -> None:
    flow = scheduler.flows.add(order(1))
    assert 'http-equiv="refresh"' not in client.get(f"/flows/{flow.id}").text
    text = client.get(f"/flows/{flow.id}").text
    [follow] = re.findall(rf'href="(/flows/{flow.id}\?live=1)"', text)
    text = client.get(follow).text
    assert '<meta http-equiv="refresh" content="5">' in text
    assert "Stop reloading" in text
    flow.cancel()
    assert 'http-equiv="refresh"' not in client.get(follow).text, "there is nothing more to see"
    assert client.get(f"/flows/{flow.id}?live=2").status_code == 400


def test_a_person_cancels_a_flow(client: TestClient, scheduler: Scheduler) -> None:
    flow = scheduler.flows.add(order(2))
    assert f'href="/flows/{flow.id}/retry"' not in client.get(f"/flows/{flow.id}").text
    assert confirmed(client, f"/flows/{flow.id}/cancel", reason="wrong order") == 303
    assert {process.reason for process in flow.processes} == {"wrong order"}
    text = client.get(f"/flows/{flow.id}?done=cancel").text
    assert "The flow is cancelled." in text
    assert "<b>Cancelled</b><p>wrong order" in text
    assert "It has ended: it is canceled." in client.get(f"/flows/{flow.id}/cancel").text


def test_a_person_retries_what_failed(client: TestClient, scheduler: Scheduler, tmp_path: Path) -> None:
    flow = Flow("passes")
    flow.add("flow-passes", str(tmp_path / "flag"), label="first")
    flow.add("noop", after=["first"])
    failed = ran(scheduler, flow)
    assert f'href="/flows/{failed.id}/retry"' in client.get(f"/flows/{failed.id}").text
    assert confirmed(client, f"/flows/{failed.id}/retry") == 303
    assert {process.status for process in failed.processes} == {Status.WAITING, Status.POSTPONED}
    assert "You cannot retry what failed. None of its jobs has failed." in client.get(f"/flows/{failed.id}/retry").text


def test_a_form_of_another_page_or_with_a_wrong_reason_does_nothing(client: TestClient, scheduler: Scheduler) -> None:
    flow, other = scheduler.flows.add(order(1)), scheduler.flows.add(order(1))
    [field] = re.findall(r'name="csrf" value="([^"]+)"', client.get(f"/flows/{other.id}/cancel").text)
    assert client.post(f"/flows/{flow.id}/cancel", data={"csrf": field}).status_code == 403
    assert client.post(f"/flows/{flow.id}/cancel").status_code == 403
    assert confirmed(client, f"/flows/{flow.id}/cancel", reason="x" * 501) == 400
    assert flow.refresh().status == "running"


def test_an_action_that_comes_too_late_says_so(client: TestClient, scheduler: Scheduler) -> None:
    flow = scheduler.flows.add(order(1))
    [field] = re.findall(r'name="csrf" value="([^"]+)"', client.get(f"/flows/{flow.id}/cancel").text)
    flow.cancel()
    answer = client.post(f"/flows/{flow.id}/cancel", data={"csrf": field})
    assert (answer.status_code, "It has ended: it is canceled." in answer.text) == (409, True)


def test_a_job_leads_to_its_flow_and_names_its_label(client: TestClient, scheduler: Scheduler) -> None:
    flow = scheduler.flows.add(order(1))
    text = client.get(f"/jobs/{flow.processes[1].id}").text
    assert f'<dt>Flow</dt><dd><a class="id" href="/flows/{flow.id}">{flow.id}</a>' in text
    assert "<dt>Label</dt><dd>Pack 0</dd>" in text
    assert "it comes after Fetch" in text
    assert "waits for the jobs before it in its flow" in text
    plain = client.get(f"/jobs/{scheduler.add_job('noop').id}").text
    assert "<dt>Flow</dt>" not in plain


def test_a_flow_without_its_jobs_and_an_unknown_one(client: TestClient, scheduler: Scheduler) -> None:
    flow = ran(scheduler, order(1))
    for process in flow.processes:
        scheduler.delete_job(process.id)
    assert "None of its jobs is stored any more." in client.get(f"/flows/{flow.id}").text
    for name in ("0" * 24, "x", "%2e%2e"):
        for path in ("", "/cancel", "/retry"):
            assert client.get(f"/flows/{name}{path}").status_code == 404, name
    assert f"There is no flow {'0' * 24}" in client.get(f"/flows/{'0' * 24}").text
    assert client.get(f"/flows/{flow.id}/delete").status_code == 404


def test_what_a_stranger_has_stored_is_shown_as_far_as_it_makes_sense(client: TestClient, scheduler: Scheduler) -> None:
    flow, odd = scheduler.flows.add(order(2)), ObjectId()
    jobs, flows = scheduler.store.jobs.collection, scheduler.store.flows.collection
    for number, change in enumerate(({"status": [5], "joins": "x"}, {"label": {"a": 1}, "after": 7}, {"class": None})):
        jobs.update_one({"_id": flow.processes[number].id}, {"$set": change})
    wrong = {"name": 5, "status": {"a": 1}, "total": "x", "counts": [1], "created": "x", "cancel": 3}
    flows.insert_one({"_id": odd, **wrong})
    for path in ("/flows", f"/flows/{flow.id}", f"/flows/{odd}", f"/api/v1/flows/{flow.id}/jobs"):
        assert client.get(path).status_code == 200, path
