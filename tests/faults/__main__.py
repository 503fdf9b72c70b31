"""A soak: a cluster under random faults for a while, then the verdict.

    .venv/bin/python -m tests.faults [--minutes 10 | --seconds 60] [--seed 7] [--only FAULT,...] [--keep]

Exit code 0: every promise was kept. 1: one was broken; the histories are kept and their place is printed. 2: nothing
happened that could have broken one. 130 after Ctrl-C, which cleans up, too. The same seed plans the same faults.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import FrameType

from tests.faults import checks, report
from tests.faults.checker import Facts
from tests.faults.cluster import KILL_GRACE, LEASE, MAX_LOST, Cluster
from tests.faults.drain import drain
from tests.faults.history import read
from tests.faults.nemesis import Nemesis
from tests.faults.plan import GROUPS, PROCESS_FAULTS, SERVER_FAULTS, plan


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.faults", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=0.0)
    parser.add_argument("--seconds", type=float, default=0.0, help="default: 60")
    parser.add_argument("--seed", type=int, default=None, help="default: one that is printed")
    parser.add_argument("--rate", type=float, default=46.0, help="jobs per second, about")
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument(
        "--only", type=_faults, default=None, help=", ".join([*GROUPS, *PROCESS_FAULTS, *SERVER_FAULTS])
    )
    parser.add_argument("--keep", action="store_true", help="keep the histories and logs in any case")
    return parser.parse_args()


def _faults(text: str) -> list[str]:
    given = [name.strip() for name in text.split(",") if name.strip()]
    names = [fault for name in given for fault in GROUPS.get(name, (name,))]
    unknown = [name for name in names if name not in {*PROCESS_FAULTS, *SERVER_FAULTS}]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown: {', '.join(unknown)}")
    return names


def say(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)  # noqa: T201


def main() -> int:
    """Soak as asked; the exit code."""
    chosen = _arguments()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    directory = Path(tempfile.mkdtemp(prefix="taskscheduler-faults-"))
    code = 1
    try:
        code = soak(chosen, directory)
    except KeyboardInterrupt:
        code = 130
    finally:
        if chosen.keep or code == 1:
            say(f"histories and logs: {directory}")
            shutil.rmtree(directory / "data", ignore_errors=True)
        else:
            shutil.rmtree(directory, ignore_errors=True)
    return code


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Once; from then on nothing breaks into the clearing up."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def soak(chosen: argparse.Namespace, directory: Path) -> int:
    """One run."""
    seed = random.SystemRandom().randrange(10**6) if chosen.seed is None else chosen.seed
    seconds = chosen.minutes * 60 + chosen.seconds or 60.0
    say(f"seed {seed}, {seconds:.0f} s, {chosen.nodes} nodes, 3 servers, {chosen.rate:.0f} jobs/s")
    began = time.monotonic()
    with Cluster(directory, seed, chosen.nodes, rate=chosen.rate) as cluster:
        say(f"all is up after {time.monotonic() - began:.0f} s")
        nemesis = Nemesis(cluster, say)
        nemesis.run(seconds, {lane: plan(seed, lane, only=chosen.only) for lane in ("process", "server")})
        say("drain")
        documents = drain(cluster)
        say(f"drained and stopped after {time.monotonic() - began:.0f} s")
    return conclude(Facts(read(directory / "history"), documents, MAX_LOST, KILL_GRACE, LEASE), nemesis.done)


def conclude(facts: Facts, faults: Counter[str]) -> int:
    """Print the report; the exit code."""
    seen, broken = report.mechanisms(facts), checks.violations(facts)
    code = report.verdict(seen, broken)
    for line in report.lines(faults, seen, checks.counts(facts), broken):
        say(line)
    say({0: "every promise was kept", 1: "BROKEN", 2: "a quiet run, which does not count"}[code])
    return code


if __name__ == "__main__":
    sys.exit(main())
