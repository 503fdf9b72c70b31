"""The image of the Dockerfile without a container engine: its build steps, and what runs in it, confined as it says.

A mount namespace stands for the container: `/opt` is that of the image, the root is read-only, and `/tmp` is empty.
The Python is that of this machine, and so are its libraries.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deploying import Started
from tests.support.pages import ROOT

USER = 10001

_BUILDING = """
mount --make-rprivate /
mount --bind "$1" /opt
cd "$2"
eval "$3"
"""

_RUNNING = """
mount --make-rprivate /
if [ -n "{hidden}" ]; then
    mount --bind "{prefix}" /srv && mount -t tmpfs -o mode=755 tmpfs "{hidden}"
    mkdir -p "{prefix}" && mount --move /srv "{prefix}"
fi
mount --bind "$1" /opt && mount -o remount,bind,ro /opt
mount --bind "$2" /mnt && mount -o remount,bind,ro /mnt
mount -t tmpfs tmpfs /tmp
mount -o remount,bind,ro /
cd /mnt
shift 2
exec setpriv --reuid {user} --regid {user} --clear-groups --no-new-privs --bounding-set -all --inh-caps -all -- "$@"
"""


def instructions(stage: int) -> list[tuple[str, str]]:
    """The instructions of a stage of the Dockerfile, the first one with 0: their names and what follows."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    lines = [line.partition(" ") for line in text.splitlines() if line and not line.startswith("#")]
    begun = [number for number, (name, _, _) in enumerate(lines) if name == "FROM"]
    return [(name, rest) for name, _, rest in lines[begun[stage] : [*begun, len(lines)][stage + 1]]]


def needs_namespaces() -> None:
    """Skips the test where nobody may make a mount namespace."""
    tools = all(map(shutil.which, ("unshare", "setpriv")))
    if not tools or subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("mount namespaces need root, unshare and setpriv")


def _hidden() -> str:
    """The folder that keeps other users from the Python of this machine, such as /root; empty if none does."""
    for folder in reversed(Path(sys.base_prefix).parents):
        if not folder.stat().st_mode & stat.S_IXOTH:
            return str(folder)
    return ""


class Image:
    """What the build stage of the Dockerfile makes, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._opt, self._source = folder / "opt", folder / "src"
        self._opt.mkdir()
        self._source.mkdir()
        python = os.path.realpath(sys.executable)
        for name, rest in instructions(0):
            if name == "COPY":
                self._copy(rest.split())
            elif name == "RUN":
                step = re.sub("^python ", f"{python} ", rest)  # a virtual environment links to what has made it
                command = ["unshare", "-m", "sh", "-ec", _BUILDING, "-", str(self._opt), str(self._source), step]
                ran = subprocess.run(command, capture_output=True, text=True)
                assert ran.returncode == 0, f"{rest}: {ran.stdout[-2000:]} {ran.stderr[-2000:]}"

    def _copy(self, names: list[str]) -> None:
        *sources, target = names
        for source in sources:
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, self._source / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, self._source / target)

    @property
    def root(self) -> Path:
        """The folder that is `/opt` in the image."""
        return self._opt

    def start(self, started: Started, app: Path, log: Path) -> subprocess.Popen[str]:
        """Starts a process in the image, in the folder of an application."""
        variables = {"PATH": "/opt/taskscheduler/bin:/usr/bin:/bin", "PYTHONUNBUFFERED": "1", **started.environment}
        script = _RUNNING.format(user=USER, prefix=sys.base_prefix, hidden=_hidden())
        command = ["unshare", "-m", "sh", "-ec", script, "-", str(self._opt), str(app), "taskscheduler"]
        with log.open("w") as output:
            return subprocess.Popen(
                [*command, *started.arguments], env=variables, stdout=output, stderr=output, text=True
            )
