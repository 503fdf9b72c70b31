"""Whatever is in the database, no command prints a character that could steer a terminal."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from bson import ObjectId
from tests.support.eventually import eventually
from tests.support.tables import rarely

from taskscheduler import Flow, Scheduler, Status
from taskscheduler.model.options import NODES, SCHEDULES
from taskscheduler_daemon.cli import main
from taskscheduler_daemon.cli.group import COMMANDS

EVIL = "evil\x1b[2J\x1b]0;title\x07\x1b[8mhidden\x9b31m\x08\u202e\rforged\nline"

FORMS = ("table", "json", "ndjson", "tsv", "id")

Run = Callable[..., tuple[int, str]]


class Stage:
    """A database in which every text is hostile."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.jobs = scheduler.store.jobs.collection
        error = {"type": EVIL, "message": EVIL, "traceback": EVIL, EVIL: EVIL}
        attempt = {"attempt": 1, "status": 4, "node": EVIL, "error": error}
        common: dict[str, Any] = {
            "class": EVIL, "queue": EVIL, "tags": [EVIL], "node": EVIL, "worker": EVIL, "message": EVIL, "attempt": 2,
            "fields": {EVIL: EVIL}, "attempts": [attempt], "solo": EVIL, "error": error, "progress": 5.0,
            "steps": [{"name": EVIL, "result": EVIL}, {"name": EVIL, "signal": True}], "awaits": {"name": EVIL},
            "signals": [{"name": EVIL, "value": EVIL}],
        }  # fmt: skip
        self.ids = {status: scheduler.add_job("x", {EVIL: EVIL}).id for status in Status}
        for status, job_id in self.ids.items():
            change: dict[str, Any] = {**common, "status": int(status)}
            if status is Status.DONE:
                change["result"] = EVIL
            self.jobs.update_one({"_id": job_id}, {"$set": change, "$currentDate": {"started": True, "ended": True}})
        program = {"host": EVIL, "pid": 1, "started": 1, "boot": EVIL, "space": EVIL}
        self.program = scheduler.track("x", timeout=3).start().id
        self.jobs.update_one({"_id": self.program}, {"$set": {**common, "program": program}})
        self.service = scheduler.start_service("s", name="s").id
        self.jobs.update_one({"_id": self.service}, {"$set": {"class": EVIL, "service.restart": EVIL, "node": EVIL}})
        scheduler.schedules.add("s", "x", every=60)
        evil: dict[str, Any] = dict.fromkeys(("reason", "owner", "times.cron", "times.timezone", "job.class"), EVIL)
        scheduler.store.database[SCHEDULES].update_one({"_id": "s"}, {"$set": {**evil, "paused": True}})
        scheduler.store.database[SCHEDULES].insert_one({"_id": EVIL, "times": {EVIL: EVIL}, "job": {"class": EVIL}})
        worker = {"pid": EVIL, "job": self.ids[Status.PROCESSING], "seconds": 1}
        controls = scheduler.store.controls
        controls.put(f"pause:job:{EVIL}", {"kind": "pause", "name": EVIL, "reason": EVIL, "by": EVIL})
        controls.put(f"limit:{EVIL}", {"kind": "limit", "name": EVIL, "concurrency": 1, "by": EVIL})
        controls.put(f"group:{EVIL}", {"kind": "group", "name": EVIL, "weight": 2, "by": EVIL})
        controls.put("limit:x", {"kind": "limit", "name": "x", "concurrency": 1, "by": EVIL})
        held = {"limits": ["x"], "gate": ["\0limit\0x\x000"], "sequence": EVIL, "turn": 1}
        self.jobs.update_one({"_id": self.ids[Status.FAILED]}, {"$set": held})
        flow = Flow("f")
        flow.add("x", after=[flow.add("x", label="first"), flow.add("x", label="second")], label="third")
        self.flow = scheduler.flows.add(flow)
        for process, changed in zip(self.flow.processes, ({"status": 4}, {"status": 2}, {}), strict=True):
            self.jobs.update_one({"_id": process.id}, {"$set": {**common, "label": EVIL, **changed}})
        flows = scheduler.store.flows.collection
        flows.update_one({"_id": self.flow.id}, {"$set": {"name": EVIL, "cancel": {"reason": EVIL}}})
        flows.insert_one({"_id": ObjectId(), "name": EVIL, "status": EVIL, "total": EVIL, "counts": {EVIL: 1}})
        node: dict[str, Any] = {"name": EVIL, "host": EVIL, "pid": EVIL, "queues": [EVIL], "version": EVIL, "pm": EVIL}
        node |= {"_id": ObjectId(), "workers": [worker], "slots": 1, "running": 1, "orphaned_timeout": 1}
        scheduler.store.database[NODES].insert_one(node)

    def of(self, status: Status) -> str:
        return str(self.ids[status])


#: command: calls of it that print something from the database, or else repeat what they were given
CALLS: Mapping[str, Callable[[Stage, Path], Sequence[Sequence[str]]]] = {
    "add": lambda stage, _: [["add", EVIL], ["add", "a", "--tag", EVIL], ["add", "a", "--queue", EVIL],
                             ["add", "a", "--jobs", EVIL], ["add", "a", "{bad" + EVIL]],
    "list": lambda stage, _: [["list", "--all"], ["list", "--all", "--order", "queue"], ["list", "--where", EVIL],
                              ["list", "--where", f"class:{EVIL}"]],
    "show": lambda stage, _: [["show", str(one)] for one in [*stage.ids.values(), stage.program, stage.service]],
    "stack": lambda stage, _: [["stack", stage.of(Status.PROCESSING)], ["stack", str(stage.program)], ["stack", EVIL]],
    "logs": lambda stage, _: [["logs", stage.of(Status.DONE)], ["logs", EVIL]],
    "wait": lambda stage, _: [["wait", stage.of(Status.FAILED)], ["wait", stage.of(Status.WAITING), "--timeout", "0"]],
    "cancel": lambda stage, _: [["cancel", stage.of(Status.WAITING)], ["cancel", EVIL]],
    "retry": lambda stage, _: [["retry", stage.of(Status.FAILED)], ["retry", str(stage.program)]],
    "signal": lambda stage, _: [["signal", stage.of(Status.WAITING), EVIL, json.dumps(EVIL)], ["signal", EVIL, EVIL],
                                ["signal", stage.of(Status.DONE), EVIL], ["signal", stage.of(Status.DONE), "a", EVIL]],
    "edit": lambda stage, _: [["edit", stage.of(Status.TIMEOUT), "waiting"], ["edit", stage.of(Status.DONE), EVIL]],
    "delete": lambda stage, _: [["delete", stage.of(Status.CANCELED), "--yes"], ["delete", EVIL]],
    "delete-old": lambda stage, _: [["delete-old", EVIL, "--age", "1d", "--yes"], ["delete-old", "--age", EVIL]],
    "end-silent": lambda stage, _: [["end-silent", "--signal", "TERM"], ["end-silent", "--signal", EVIL]],
    "exec": lambda stage, _: [["exec", "--solo", "--name", EVIL, "--", "true"], ["exec", "--", f"/nowhere/{EVIL}"]],
    "flush": lambda stage, _: [["flush", "--queue", EVIL, "--yes"], ["flush", "--job", EVIL]],
    "restore": lambda stage, _: [["restore", "--queue", EVIL, "--yes"]],
    "jobs": lambda stage, _: [["jobs", "--jobs", EVIL], ["jobs", "--jobs", "tests.support.jobs"]],
    "update": lambda stage, _: [["update", stage.of(Status.WAITING), "--priority", "5"],
                                ["update", EVIL, "--tag", EVIL]],
    "failures": lambda stage, _: [["failures"], ["failures", "--job", EVIL], ["failures", "--since", EVIL]],
    "init": lambda _, folder: [["init", f"{folder}/{EVIL}"], ["init", f"{folder}/{EVIL}"]],  # again: a refusal
    "completion": lambda stage, _: [["completion", EVIL], ["completion", "fish"]],
    "counts": lambda stage, _: [["counts"], ["counts", "--by", "queue"]],
    "why": lambda stage, _: [["why", "--summary"], ["why", EVIL], *(["why", stage.of(status)] for status in Status)],
    "limits": lambda stage, _: [["limits"], ["limits", "set", EVIL, "--concurrency", "1"], ["limits", "delete", EVIL],
                                ["limits", "set", "a", "--per", EVIL]],
    "groups": lambda stage, _: [["groups"], ["groups", "set", EVIL, "--weight", "2"], ["groups", "delete", EVIL],
                                ["groups", "set", "a", "--weight", EVIL]],
    "sequences": lambda stage, _: [["sequences"], ["sequences", "release", EVIL]],
    "pause": lambda stage, _: [["pause", "--queue", EVIL], ["pause", "--tag", EVIL, "--reason", EVIL],
                               ["pause", "--job", EVIL, "--until", EVIL], ["pauses"], ["resume", "--tag", EVIL]],
    "resume": lambda stage, _: [["resume", "--job", EVIL], ["resume", "--queue", EVIL]],
    "pauses": lambda stage, _: [["pauses"]],
    "nodes": lambda stage, _: [["nodes"]],
    "listen": lambda stage, _: [["listen", "--timeout", "0.1"], ["listen", "--status", EVIL]],
    "status": lambda stage, _: [["status"], ["status", "--node", EVIL]],
    "metrics": lambda stage, _: [["metrics"], ["metrics", "--job", EVIL], ["metrics", "--since", EVIL]],
    "audit": lambda stage, _: [["cancel", stage.of(Status.WAITING), "--reason", EVIL], ["audit"],
                               ["audit", "--who", EVIL], ["audit", "--since", EVIL]],
    "top": lambda stage, _: [["top"], ["top", "--interval", EVIL]],
    "doctor": lambda stage, _: [["doctor"]],
    "migrate": lambda stage, _: [["migrate", "--dry-run"], ["migrate"]],
    "service": lambda stage, _: [["service"], ["service", "status", "s"], ["service", "stop", EVIL],
                                 ["service", "start", EVIL], ["service", "receive", "s", "--timeout", "0"]],
    "flow": lambda stage, _: [["flow"], ["flow", "list", "--name", "e"], ["flow", "list", "--status", EVIL],
                              ["flow", "list", "--name", EVIL], ["flow", "show", str(stage.flow.id)],
                              ["flow", "show", str(stage.flow.id), "--all"], ["flow", "show", EVIL],
                              ["show", str(stage.flow.processes[0].id)], ["show", str(stage.flow.processes[2].id)],
                              ["flow", "retry", str(stage.flow.id), "--reason", EVIL],
                              ["flow", "cancel", str(stage.flow.id), "--reason", EVIL], ["flow", "cancel", EVIL]],
    "schedule": lambda stage, _: [["schedule"], ["schedule", "list", "-o", "json"], ["schedule", "show", "s"],
                                  ["schedule", "show", EVIL], ["schedule", "next", "s"], ["schedule", "pause", EVIL],
                                  ["schedule", "run", "s"], ["schedule", "add", EVIL, EVIL, "--cron", EVIL],
                                  ["schedule", "backfill", "s", EVIL, EVIL], ["schedule", "delete", EVIL, "--yes"]],
    "node": lambda stage, folder: [["node", "stop", "--pidfile", f"{folder}/{EVIL}"], ["node", "--jobs", EVIL],
                                   ["node", "drain", EVIL]],
    "bench": lambda stage, _: [["bench", "--jobs-count", EVIL]],
    "mcp": lambda stage, _: [["mcp", EVIL], ["mcp", "--write", "--uri", EVIL]],
    "openapi": lambda stage, _: [["openapi"], ["openapi", "--jobs", EVIL], ["openapi", "--root-path", EVIL]],
    "web-user": lambda stage, folder: [["web-user", "list", "--users", f"{folder}/{EVIL}"], ["web-user", EVIL],
                                       ["web-user", "delete", EVIL, "--users", f"{folder}/none"]],
    "web": lambda stage, _: [["web", "--host", EVIL, "--token", "t" * 20], ["web", "--jobs", EVIL]],
    "dev": lambda stage, _: [["dev", "--jobs", EVIL], ["dev", "--pm", EVIL]],
    "demo": lambda stage, _: [["demo", "--seconds", EVIL]],
    "help": lambda stage, _: [["help"], ["help", EVIL], ["help", "add", EVIL]],
}  # fmt: skip


#: commands that change nothing in the database, so one serves for all of them
READING = (
    "list", "show", "logs", "wait", "jobs", "failures", "init", "completion", "counts", "why", "pauses", "nodes",
    "listen", "status", "metrics", "top", "doctor", "bench", "mcp", "openapi", "web-user", "web", "dev", "demo", "help",
)  # fmt: skip

ON_ONE_STAGE = [READING, *((name,) for name in COMMANDS if name not in READING)]


def harmless(text: str) -> bool:
    return all(char.isprintable() or char in "\n\t" for char in text)


@pytest.fixture
def stage(scheduler: Scheduler) -> Stage:
    return Stage(scheduler)


@pytest.fixture
def run(uri: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.setenv("TASKSCHEDULER_URI", uri)

    def call(*arguments: str) -> tuple[int, str]:
        code = main(list(arguments))
        out, err = capfd.readouterr()
        return code, out + err

    return call


def test_no_command_is_left_out() -> None:
    assert set(CALLS) == set(COMMANDS) == {name for names in ON_ONE_STAGE for name in names}


@pytest.mark.parametrize("all_forms", [False, *rarely(True)])
@pytest.mark.parametrize("names", ON_ONE_STAGE, ids=lambda names: names[0] if len(names) == 1 else "reading")
def test_a_command_prints_nothing_that_steers_a_terminal(
    names: Sequence[str], stage: Stage, run: Run, tmp_path: Path, all_forms: bool
) -> None:
    """In the form that it has by itself and in one other, which is not the same for each; or in all forms."""
    others: list[Sequence[str]] = [["-v"], *(["-o", form] for form in FORMS)]
    calls = [one for name in names for one in enumerate(CALLS[name](stage, tmp_path), start=len(name))]
    for number, arguments in calls:
        for form in [[], *(others if all_forms else [others[number % len(others)]])]:
            # options of the group: a command that prints no table takes no form of its own
            code, said = run(*form, *arguments)
            assert said or code == 0 or arguments[0] == "wait", (form, arguments)
            assert harmless(said), (form, arguments, said)
            assert "\nline" not in said, (form, arguments, said)


def test_waiting_for_an_added_job_says_why_it_failed_without_steering(stage: Stage, run: Run) -> None:
    job_id = ObjectId()
    failed = {"$set": {"status": int(Status.FAILED), "error": {"type": EVIL, "message": EVIL}}}

    def fail() -> None:
        eventually(lambda: stage.jobs.update_one({"_id": job_id}, failed).matched_count == 1)

    failing = threading.Thread(target=fail)
    failing.start()
    code, said = run("add", "x", "--id", str(job_id), "--wait", "--wait-timeout", "30s")
    failing.join()
    assert code == 1
    assert "\\x1b[2J" in said
    assert harmless(said)
