"""The examples of the README and of the first steps, word for word, with the installed command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support.eventually import eventually

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("taskscheduler")


def example(page: str, first_line: str) -> str:
    """The Python block of a page that begins with this line."""
    found = re.search(rf"```python\n({first_line}\n.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert found is not None
    return found.group(1)


def test_the_first_examples_run_as_they_stand(tmp_path: Path) -> None:
    hello = example("README.md", "from taskscheduler import Scheduler, job")
    assert len([line for line in hello.splitlines() if line]) <= 10
    (tmp_path / "hello.py").write_text(hello)
    copying = example("daemon/docs/tutorial/first-steps.md", "import os")
    (tmp_path / "myapp.py").write_text(copying.replace("/tmp/sh.copy", str(tmp_path / "sh.copy")))
    environment = {**os.environ, "TASKSCHEDULER_STATE_DIR": str(tmp_path / "state")}
    environment.pop("TASKSCHEDULER_URI", None)
    log = tmp_path / "dev.log"
    with log.open("w") as output:
        dev = subprocess.Popen(
            [COMMAND, "dev", "--jobs", "hello", "--jobs", "myapp"],
            cwd=tmp_path,
            env=environment,
            stdout=output,
            stderr=output,
        )

    def printed(*command: str | Path, said: str = "") -> str:
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        assert re.fullmatch(said, done.stderr)
        return done.stdout

    default = r"no MongoDB URI is given: using the embedded server of this user in \S+, database \S+; .*\n"
    try:
        eventually(lambda: "node ready" in log.read_text() or dev.poll() is not None, 30, "node ready")
        assert printed(sys.executable, "hello.py", said=default) == "Hello Ada\n"
        assert printed(sys.executable, "myapp.py", said=default) == f"{{'copied': {Path('/bin/sh').stat().st_size}}}\n"
        assert (tmp_path / "sh.copy").read_bytes() == Path("/bin/sh").read_bytes()
        assert printed(COMMAND, "list", "--all").count("done") == 2
        dev.send_signal(signal.SIGINT)
        assert dev.wait(20) == 0
    finally:
        dev.kill()
        dev.wait(30)
    eventually(lambda: not (tmp_path / "state" / "server.json").exists(), 20, "the embedded server stopped")
