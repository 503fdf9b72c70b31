"""The benchmarks of this repository, each with a few jobs: what they measure, of this version and of older ones."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient
from tests.benchmarks import adding, draining, growth, latency, loaded
from tests.benchmarks.figures import Figures
from tests.benchmarks.revisions import commit_of, older
from tests.benchmarks.stage import Stage
from tests.benchmarks.versions import PRESENT, Version, VersionError
from tests.support.nodes import ROOT
from tests.support.older.version import COMMIT
from tests.support.tables import rarely

Benchmark = Callable[[Stage], None]


class SmallStage(Stage):
    """A stage for as few jobs as a benchmark can do with."""

    most = 60

    def scaled(self, full: int, quick: int) -> int:
        return min(quick, self.most)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where benchmarks leave what they need; what they put into the environment is gone afterwards."""
    monkeypatch.setenv("BENCH_STAMPS", "")
    return tmp_path


@pytest.fixture
def make_stage(server_uri: str, directory: Path) -> Callable[..., SmallStage]:
    """A stage on the server of the tests."""

    def make(*versions: Version) -> SmallStage:
        with MongoClient[dict[str, Any]](server_uri.format("admin")) as client:
            pid = int(client.admin.command("serverStatus")["pid"])
        return SmallStage(server_uri.format("taskscheduler"), pid, directory, Figures(), True, versions or (PRESENT,))

    return make


def measured(stage: Stage) -> set[str]:
    assert stage.figures.remarks == []
    assert all(value >= 0 for many in stage.figures.values.values() for value in many)
    return set(stage.figures.values)


#: what each measures of every version, and what besides
OF_EACH: dict[Benchmark, set[str]] = {
    draining.backlog: {"drain_executed", "drain_completed"},
    latency.measure: {"start_p50", "start_p99", "add_p50", "result_p50"},
    adding.measure: {"add_1", "add_8", "add_jobs"},
}
BESIDES: dict[Benchmark, set[str]] = {
    draining.backlog: {"cpu.node", "cpu.manager", "cpu.workers", "cpu.mongod"},
    latency.measure: {"floor.paced_insert_p50"},
    adding.measure: {"floor.insert_1", "floor.insert_8"},
}

each = pytest.mark.parametrize("benchmark", [draining.backlog, *rarely(latency.measure, adding.measure)])


@each
def test_it_measures_this_version(benchmark: Benchmark, make_stage: Callable[..., Stage]) -> None:
    stage = make_stage()
    benchmark(stage)
    assert BESIDES[benchmark] | {f"product.{name}" for name in OF_EACH[benchmark]} <= measured(stage)


def test_urgent_jobs_are_timed_while_others_wait(
    make_stage: Callable[..., SmallStage], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"_FEWEST": 2, "_MOST_ROUNDS": 1, "_EVERY": 0.01}.items():
        monkeypatch.setattr(loaded, name, value)
    stage = make_stage()
    stage.most = 2000
    loaded.measure(stage)
    assert measured(stage) == {"product.urgent_p50", "product.urgent_p99", "product.urgent_others"}


@pytest.mark.faults
def test_growth_compares_a_store_with_many_ended_jobs(
    make_stage: Callable[..., Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "_ROUNDS", 1)
    stage = make_stage()
    growth.measure(stage)
    sides = {f"growth.{name}_{side}" for name in ("drain", "pss", "start_p50") for side in ("none", "many")}
    assert sides <= measured(stage)
    assert stage.figures.ratios().keys() >= {"memory of the node: many ended jobs / none"}


def test_a_day_compares_its_end_with_its_begin(make_stage: Callable[..., Stage]) -> None:
    stage = make_stage()
    growth.day(stage)
    assert measured(stage) == {"day.rate_begin", "day.rate_end", "day.pss_begin", "day.pss_end"}
    assert stage.figures.values["day.pss_begin"][0] > 10


# -- older versions ----------------------------------------------------------------------------------------------------


@pytest.fixture
def before(tmp_path: Path) -> Version:
    """Version 0.1.0."""
    if subprocess.run(["git", "-C", str(ROOT), "cat-file", "-e", COMMIT], capture_output=True, check=False).returncode:
        pytest.skip("the history of this checkout does not reach back to version 0.1.0")
    return older(ROOT, COMMIT, tmp_path / "before")


@each
def test_version_0_1_0_is_measured_beside_this_one(
    benchmark: Benchmark, before: Version, make_stage: Callable[..., Stage]
) -> None:
    stage = make_stage(PRESENT, before)
    benchmark(stage)
    assert {f"{version}.{name}" for version in ("product", "before") for name in OF_EACH[benchmark]} <= measured(stage)
    assert any(text.endswith("at REV") for text in stage.figures.ratios())


def test_an_older_version_runs_its_own_source(before: Version) -> None:
    assert not (before.source / "daemon/taskscheduler_daemon/node").exists(), "it is the older source"
    before.check()
    with pytest.raises(VersionError, match="was imported instead of the source in"):
        Version("before", before.source / "elsewhere").check()


def test_versions_take_turns_in_coming_first(make_stage: Callable[..., Stage]) -> None:
    other = Version("before", ROOT)
    stage = make_stage(PRESENT, other)
    assert stage.in_turn() == [PRESENT, other]
    stage.repetition = 1
    assert stage.in_turn() == [other, PRESENT]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one commit, in which nothing of this product is."""
    path = tmp_path / "repository"
    path.mkdir()
    (path / "README").write_text("something else\n")
    author = ["-c", "user.name=a", "-c", "user.email=a@b.example", "-c", "commit.gpgsign=false"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-qm", "Begin"]):
        subprocess.run(["git", "-C", str(path), *words], check=True)
    return path


def test_a_revision_is_any_name_of_a_commit(repository: Path) -> None:
    whole = commit_of(repository, "HEAD")
    assert len(whole) == 40
    assert commit_of(repository, whole[:8]) == whole


@pytest.mark.parametrize("revision", ["nowhere", "", "--all", "HEAD~1"])
def test_an_unknown_revision_is_refused(revision: str, repository: Path) -> None:
    with pytest.raises(VersionError, match=f"no revision '{revision}' in .*; give a branch, a tag or a commit"):
        commit_of(repository, revision)


def test_a_revision_of_something_else_is_refused(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(VersionError, match="has no folders scheduler and daemon"):
        older(repository, "HEAD", tmp_path / "before")


def test_there_must_be_a_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(VersionError, match="is no git repository"):
        commit_of(tmp_path, "HEAD")


def test_there_must_be_git(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(VersionError, match="there is no git on the PATH"):
        commit_of(repository, "HEAD")


def test_a_source_that_cannot_be_imported_says_why(tmp_path: Path) -> None:
    package = tmp_path / "scheduler" / "taskscheduler"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import a_module_that_nobody_has\n")
    with pytest.raises(VersionError, match=r"No module named 'a_module_that_nobody_has'\); install what it needs"):
        Version("before", tmp_path).check()


def test_an_unknown_revision_is_one_line_and_its_exit_code() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks", "--against", "nowhere"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 2
    assert ran.stderr.startswith("--against nowhere: no revision 'nowhere' in ") or "is no git repository" in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert ran.stdout == ""
