"""Decides which benchmarks run and how often: `.venv/bin/python -m tests.benchmarks`.

    .venv/bin/python -m tests.benchmarks [--quick] [--repeat 3] [--only NAME,...] [--json FILE] [--against REV]
                                         [--peers taskiq,huey,dramatiq,celery,rq] [--peers-venv DIRECTORY]

All of one run share a machine and an embedded mongod of their own in a temporary directory; every repetition runs all
of them, but the long ones `growth` and `day`, which run once. Compare the ratios: absolute figures drift with the
machine. `--quick` takes fewer jobs and leaves out the long ones unless `--only` names them. `--against` measures the
product at a git revision by turns with the present one, on databases of its own: adding, drain and latency, as figures
that begin with `before`. It runs with the packages of this environment. `--peers` installs these into a throw-away
environment (or uses the one in `--peers-venv`) and needs redis-server on the PATH. Exit code 0; 1 if a benchmark
failed; 2 if the revision cannot be measured; 130 after Ctrl-C, which cleans up, too.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from taskscheduler_daemon.demo.environment import embedded_server
from tests.benchmarks import adding, draining, floor, growth, idle, latency, loaded, peers, revisions, scheduling
from tests.benchmarks.figures import Figures
from tests.benchmarks.stage import Stage
from tests.benchmarks.versions import PRESENT, Version, VersionError
from tests.support.nodes import ROOT

BENCHMARKS: dict[str, Callable[[Stage], None]] = {
    "floor": floor.measure,
    "adding": adding.measure,
    "drain": draining.backlog,
    "flow": draining.flow,
    "two-nodes": draining.two_nodes,
    "latency": latency.measure,
    "latency-under-load": loaded.measure,
    "idle": idle.measure,
    "schedules": scheduling.measure,
    "million": draining.million,
    "growth": growth.measure,
    "day": growth.day,
}
_NOT_QUICK = ("million", "growth", "day")
_ONCE = ("growth", "day")  #: each compares many rounds of its own


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer jobs, once")
    parser.add_argument("--repeat", type=_at_least_once, help="default: 3, with --quick 1")
    parser.add_argument("--only", type=_names(BENCHMARKS), help=", ".join(BENCHMARKS))
    parser.add_argument("--against", metavar="REV", help="a branch, tag or commit to measure by turns with this source")
    parser.add_argument("--peers", type=_names(peers.PEERS), default=[], help=", ".join(peers.PEERS))
    parser.add_argument("--peers-venv", type=Path, help="a virtual environment that has the peers already")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write everything")
    return parser.parse_args()


def _names(known: Iterable[str]) -> Callable[[str], list[str]]:
    def parse(text: str) -> list[str]:
        names = [name for name in text.split(",") if name]
        unknown = [name for name in names if name not in known]
        if not names:
            raise argparse.ArgumentTypeError(f"nothing is named; there are {', '.join(known)}")
        if unknown:
            raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}; there are {', '.join(known)}")
        return names

    return parse


def _at_least_once(text: str) -> int:
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is less than 1")
    return number


def main() -> int:
    """Run what is asked for; the exit code."""
    chosen, figures = arguments(), Figures()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    code = 0
    try:
        code = _run(chosen, figures)
    except VersionError as error:
        sys.stderr.write(f"--against {chosen.against}: {error}\n")
        return 2
    except KeyboardInterrupt:
        code = 130
    print("\n".join(["", _machine(), *figures.table()]))  # noqa: T201
    if chosen.json:
        chosen.json.write_text(json.dumps({"machine": _machine(), **figures.as_json()}, indent=1) + "\n")
    return code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Once; from then on nothing breaks into the clearing up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _run(chosen: argparse.Namespace, figures: Figures) -> int:
    failed = 0
    with ExitStack() as stack:
        directory = Path(tempfile.mkdtemp(prefix="taskscheduler-bench-"))
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        versions = _versions(chosen.against, directory / "before", figures)
        server = stack.enter_context(embedded_server(directory / "server"))
        stage = Stage(server.uri, server.address.mongod_pid, directory, figures, chosen.quick, versions)
        actions = chosen_actions(chosen)
        if chosen.peers:
            actions |= peers.prepare(stack, directory, chosen.peers, chosen.peers_venv, figures)
        for stage.repetition in range(chosen.repeat or (1 if chosen.quick else 3)):
            for name, action in actions.items():
                if name not in _ONCE or stage.repetition == 0:
                    failed += _one(f"{stage.repetition + 1}. {name}", action, stage)
    return 1 if failed else 0


def _versions(revision: str | None, folder: Path, figures: Figures) -> list[Version]:
    """The present version, and the one to compare it with. Raises VersionError."""
    if revision is None:
        return [PRESENT]
    figures.remark(f"REV is {revision}, commit {revisions.commit_of(ROOT, revision)[:10]}")
    return [PRESENT, revisions.older(ROOT, revision, folder)]


def chosen_actions(chosen: argparse.Namespace) -> dict[str, Callable[[Stage], None]]:
    """The benchmarks that run, by name."""
    left_out = _NOT_QUICK if chosen.quick and not chosen.only else ()
    return {name: BENCHMARKS[name] for name in chosen.only or BENCHMARKS if name not in left_out}


def _one(title: str, action: Callable[[Stage], None], stage: Stage) -> bool:
    """Whether it failed; the others go on."""
    sys.stderr.write(f"{title}\n")
    try:
        action(stage)
    except Exception:
        traceback.print_exc()
        stage.figures.remark(f"{title} failed; see above")
        return True
    return False


def _machine() -> str:
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return f"{os.cpu_count()} cores, Python {platform.python_version()}, load {load}"


if __name__ == "__main__":
    sys.exit(main())
