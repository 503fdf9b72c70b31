"""Decides how the peers run: an environment and a Redis of their own, their defaults, the same job and counting."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests.benchmarks.figures import Figures
from tests.benchmarks.peerapps import PEERS, Peer
from tests.benchmarks.stage import Stage, await_true
from tests.benchmarks.stamps import Stamps

__all__ = ["PEERS", "prepare"]

_SOURCE = "bench_app.py"
_DURABLE = (
    "celery",
    "dramatiq",
    "huey",
    "taskiq",
)  #: those that also run with a Redis that writes to the disk before it answers
_END_WITHIN = 10.0


def prepare(
    stack: ExitStack, directory: Path, names: Sequence[str], ready: Path | None, figures: Figures
) -> dict[str, Callable[[Stage], None]]:
    """The benchmarks of these peers; none, with a remark, if there is no Redis."""
    redis = shutil.which("redis-server")
    if redis is None:
        figures.remark("peers skipped: no redis-server on the PATH; apt-get install redis-server")
        return {}
    python = (ready or _install(directory / "peers", names)) / "bin"
    always = {"": ("no",), "-fsync": ("yes", "always")}
    ports = {name: stack.enter_context(_redis(redis, directory, options)) for name, options in always.items()}
    found: dict[str, Callable[[Stage], None]] = {}
    for name in names:
        for kind in ("", "-fsync") if name in _DURABLE else ("",):
            found[f"{name}{kind}"] = partial(_measure, f"{name}{kind}", PEERS[name], python, ports[kind])
    return found


def _install(venv: Path, names: Sequence[str]) -> Path:
    sys.stderr.write(f"installing {', '.join(names)}\n")
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    wanted = [package for name in names for package in PEERS[name].packages]
    subprocess.run([str(venv / "bin/pip"), "-q", "--disable-pip-version-check", "install", *wanted], check=True)
    return venv


@contextmanager
def _redis(program: str, directory: Path, append: Sequence[str]) -> Iterator[int]:
    """A Redis on a free port of loopback; its port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = int(taken.getsockname()[1])
    home = directory / f"redis-{port}"
    home.mkdir()
    sync = ["--appendfsync", append[1]] if len(append) > 1 else []
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(home), "--appendonly", append[0], *sync]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen([program, *options], stdout=log, stderr=log, start_new_session=True)
    try:
        await_true(lambda: _answers(port), 10)
        yield port
    finally:
        process.terminate()
        process.wait(_END_WITHIN)


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
    except OSError:
        return False
    return True


def _measure(title: str, peer: Peer, programs: Path, port: int, stage: Stage) -> None:
    """Fill its queue, start two worker processes, count."""
    count = stage.scaled(peer.jobs, peer.jobs // 5)
    home = stage.fresh_directory()
    home.mkdir()
    stamps = stage.stamps()
    shutil.copy(Path(__file__).with_name("stamps.py"), home)
    (home / _SOURCE).write_text(peer.source)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(home),
        "REDIS_URL": f"redis://127.0.0.1:{port}/0",
    }
    stage.figures.note(f"peer.{title}.add_1", count / _add(programs, home, environment, count))
    with _workers(peer, home, environment):
        _await_count(stamps, count, home)
    stage.figures.note(f"peer.{title}.drain", stamps.rate())


def _add(programs: Path, home: Path, environment: dict[str, str], count: int) -> float:
    """Add so many jobs one by one; the seconds that it took, by its own clock."""
    command = [str(programs / "python"), _SOURCE, str(count)]
    ran = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise RuntimeError(f"nothing was added: {ran.stderr[-500:]}")
    return float(ran.stdout.split()[-1])


def _await_count(stamps: Stamps, count: int, home: Path) -> None:
    try:
        await_true(lambda: stamps.count() >= count, 90, 0.02)
    except TimeoutError:
        said = (home / "log").read_text(errors="replace")[-500:]
        raise TimeoutError(f"{stamps.count()} of {count} jobs ran; the workers said: {said}") from None


@contextmanager
def _workers(peer: Peer, home: Path, environment: dict[str, str]) -> Iterator[None]:
    """Its workers in a process group of their own, which is killed at the end: nothing in them is worth keeping."""
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            peer.command, cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask the head of the group, then kill what is left in the group."""
    process.terminate()
    try:
        process.wait(_END_WITHIN)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, 9)
    except ProcessLookupError:
        pass
    process.wait(_END_WITHIN)
