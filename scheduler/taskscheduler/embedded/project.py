"""Names the database of a project on the embedded server, so that projects do not see each other's jobs.

A project is the nearest folder with one of MARKERS, from the working directory upwards, else the working directory.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from taskscheduler.errors import EmbeddedServerError, InvalidOptionError

DATABASE_VARIABLE = "TASKSCHEDULER_DATABASE"

MARKERS = ("pyproject.toml", ".git", "setup.py", "manage.py")

_LONGEST = 63  #: bytes of a database name that MongoDB accepts

_LONGEST_FOLDER = 40  #: characters of the folder's name in it

_USABLE = re.compile(r'[^\x00/\\. "$]+')

_RESERVED = {"admin", "config", "local"}


@dataclass(frozen=True, slots=True)
class EmbeddedDatabase:
    """A database of the embedded server, as the place where a scheduler finds its jobs."""

    name: str

    @classmethod
    def chosen(cls) -> EmbeddedDatabase:
        """Returns the one that TASKSCHEDULER_DATABASE names, else that of the project around the working directory.

        Raises InvalidOptionError for a name that MongoDB does not accept, EmbeddedServerError if the working directory
        is gone.
        """
        if named := os.environ.get(DATABASE_VARIABLE):
            return cls(checked(named))
        try:
            return cls(database_of(project_folder(Path.cwd())))
        except OSError as error:
            raise EmbeddedServerError(
                f"the working directory cannot be read: {error.strerror}; name a database with {DATABASE_VARIABLE}"
            ) from error


def project_folder(start: Path) -> Path:
    """Returns the nearest folder with a marker of a project, from `start` upwards; `start` if there is none."""
    folders = (start, *start.parents)
    return next((folder for folder in folders if any(_exists(folder / marker) for marker in MARKERS)), start)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        return False  # a folder above that this user may not read


def database_of(folder: Path) -> str:
    """Returns the database of a folder: its name, in characters that MongoDB accepts, and a hash of its real path."""
    real = folder.resolve()
    # lower case, since MongoDB refuses two databases whose names differ in nothing else
    name = re.sub(r"[^a-z0-9_-]+", "_", real.name.lower()).strip("_")[:_LONGEST_FOLDER]
    return f"{name or 'project'}-{hashlib.sha256(os.fsencode(real)).hexdigest()[:8]}"


def checked(name: str) -> str:
    """Returns the name of a database; InvalidOptionError if MongoDB does not accept it or keeps it for itself."""
    if not _USABLE.fullmatch(name) or len(os.fsencode(name)) > _LONGEST or name.lower() in _RESERVED:
        raise InvalidOptionError(
            f"{DATABASE_VARIABLE} must be the name of a database, not {name!r}: up to {_LONGEST} bytes without blanks "
            'and / \\ . " $, and not admin, config or local'
        )
    return name
