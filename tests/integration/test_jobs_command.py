"""The command `jobs`: what modules register, for people and for programs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from taskscheduler_daemon.cli import main

MODULE = '''
from dataclasses import dataclass, field
from datetime import timedelta
from typing import NotRequired, TypedDict
from taskscheduler import Job, job

@job(name="listed-resize")
def resize(name: str, width: int = 100, *others: str, mode="fit", job: Job, **more) -> None:
    """Make a picture fit.

    More about it.
    """

@job(name="listed-bare", retry=3, at=timedelta(minutes=1), tags=["nightly"])
def bare(): ...

class Data(TypedDict):
    to: str
    cc: NotRequired[list[str]]

class Mail(Job):
    """Send a mail."""
    name = "listed-mail"
    data: Data

@dataclass
class Size:
    width: int
    height: int = 5
    tags: list[str] = field(default_factory=list)

class Crop(Job):
    name = "listed-crop"
    data: Size

class Count(Job):
    name = "listed-count"
    data: int | None

class Plain(Job):
    name, solo, timeout = "listed-plain", True, 60
'''

LISTED = [
    ["listed-bare", "", "", "at=60.0, retry=3, tags=['nightly']"],
    ["listed-count", "data: int | None", "", ""],
    ["listed-crop", "width: int, height: int = 5, tags: list[str] = ...", "", ""],
    ["listed-mail", "to: str, cc: list[str]", "Send a mail.", ""],
    ["listed-plain", "", "", "timeout=60, solo=True"],
    ["listed-resize", "name: str, width: int = 100, *others: str, mode='fit', **more", "Make a picture fit.", ""],
]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "listed_jobs.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("TASKSCHEDULER_JOBS", raising=False)
    monkeypatch.setenv("TASKSCHEDULER_URI", "mongodb://127.0.0.1:1/nowhere")
    return "listed_jobs"


def lines(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def test_the_jobs_of_a_module_are_listed_without_a_database(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "--jobs", module]) == 0
    head, *rows = [line.split("\t") for line in lines(capsys)]
    assert head == ["JOB", "TAKES", "DESCRIPTION", "OPTIONS"]
    assert [row for row in rows if row[0].startswith("listed-")] == LISTED
    assert main(["jobs", "--jobs", module, "-o", "id"]) == 0
    assert [name for name in lines(capsys) if name.startswith("listed-")] == [row[0] for row in LISTED]
    assert main(["jobs", "--jobs", module, "-o", "table"]) == 0
    assert any(line.startswith("listed-mail ") and line.endswith("  Send a mail.") for line in lines(capsys))


def test_programs_get_the_arguments_one_by_one(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["jobs", "--jobs", module, "-o", "json"]) == 0
    found = {entry["name"]: entry for entry in json.loads("\n".join(lines(capsys)))}
    assert found["listed-mail"]["description"] == "Send a mail."
    assert found["listed-mail"]["parameters"] == [
        {"name": "to", "type": "str", "default": "", "required": True},
        {"name": "cc", "type": "list[str]", "default": "", "required": False},
    ]
    assert found["listed-bare"]["options"] == {"at": 60.0, "retry": 3, "tags": ["nightly"]}
    assert [one["required"] for one in found["listed-resize"]["parameters"]] == [True, False, False, False, False]
    assert main(["jobs", "--jobs", module, "-o", "ndjson"]) == 0
    assert "listed-bare" in [json.loads(line)["name"] for line in lines(capsys)]


def test_what_cannot_be_imported_is_one_line(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, what in [
        (["jobs"], "name the modules that register jobs: --jobs myapp.jobs, or set TASKSCHEDULER_JOBS"),
        (["jobs", "--jobs", "nowhere_to_be_found"], "cannot import the job module 'nowhere_to_be_found'"),
    ]:
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert what in said
        assert said.count("\n") == 1


def test_the_environment_may_name_the_modules(
    module: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKSCHEDULER_JOBS", module)
    assert main(["jobs", "-o", "id"]) == 0
    assert "listed-bare" in lines(capsys)
