"""The first example of the README, word for word, with the installed command."""

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


def test_the_first_example_runs_as_it_stands(tmp_path: Path) -> None:
    example = re.search(r"```python\n(import os\n.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert example is not None
    (tmp_path / "myapp.py").write_text(example.group(1).replace("/tmp/sh.copy", str(tmp_path / "sh.copy")))
    environment = {**os.environ, "TASKSCHEDULER_STATE_DIR": str(tmp_path / "state")}
    environment.pop("TASKSCHEDULER_URI", None)
    log = tmp_path / "dev.log"
    with log.open("w") as output:
        dev = subprocess.Popen(
            [COMMAND, "dev", "--jobs", "myapp"], cwd=tmp_path, env=environment, stdout=output, stderr=output
        )
    try:
        eventually(lambda: "node ready" in log.read_text() or dev.poll() is not None, 30, "node ready")
        command = [sys.executable, "myapp.py"]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
        size = Path("/bin/sh").stat().st_size
        assert (done.stdout, done.stderr) == (f"{{'copied': {size}}}\n", "")
        assert (tmp_path / "sh.copy").read_bytes() == Path("/bin/sh").read_bytes()
        dev.send_signal(signal.SIGINT)
        assert dev.wait(20) == 0
    finally:
        dev.kill()
        dev.wait(10)
    eventually(lambda: not (tmp_path / "state" / "server.json").exists(), 20, "the embedded server stopped")
