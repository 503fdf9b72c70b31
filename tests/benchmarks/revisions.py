"""Takes the source of an older version out of the history of this repository."""

from __future__ import annotations

import io
import subprocess
import tarfile
from pathlib import Path

from tests.benchmarks.versions import Version, VersionError

_FOLDERS = ("scheduler", "daemon")


def older(repository: Path, revision: str, folder: Path) -> Version:
    """Writes the source at a revision to a folder that does not exist yet, and returns it as the version `before`.

    Raises VersionError if there is no git, no repository or no such revision, or if its source does not run here.
    """
    commit = commit_of(repository, revision)
    archive = _git(repository, "archive", commit, *_FOLDERS)
    if archive.returncode:
        raise VersionError(
            f"{revision} ({commit[:10]}) has no folders {' and '.join(_FOLDERS)}: it is no version of this"
        )
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(folder, filter="data")
    version = Version("before", folder)
    version.check()
    return version


def commit_of(repository: Path, revision: str) -> str:
    """Returns the full hash of a revision. Raises VersionError."""
    if _git(repository, "rev-parse", "--git-dir").returncode:
        raise VersionError(f"{repository} is no git repository, so there is no older version; clone it with git")
    found = _git(repository, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if found.returncode or not revision:
        raise VersionError(
            f"no revision {revision!r} in {repository}; give a branch, a tag or a commit that `git log` shows "
            "(a shallow clone gets the others by `git fetch --unshallow`)"
        )
    return found.stdout.decode().strip()


def _git(repository: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, check=False)
    except FileNotFoundError:
        raise VersionError("there is no git on the PATH, which takes older versions out of the history") from None
