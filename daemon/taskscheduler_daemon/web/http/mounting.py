"""Finds the path within the application, wherever it is mounted and whatever a proxy strips or keeps."""

from __future__ import annotations

from typing import NamedTuple

from starlette.types import Scope

ROOT = "taskscheduler.root"  #: the key in a scope under which the root of a request is kept

_WITH_NAMES = "/api/"  #: its endpoints decode the names in a path


class Place(NamedTuple):
    """Where a request came to."""

    root: str  #: with which links begin
    path: str  #: below the root; decoded, but that of the service with names, which may have slashes

    def inside(self, scope: Scope) -> Scope:
        """Returns the scope for the application itself, which knows nothing of where it is mounted."""
        return {**scope, "path": self.path, "root_path": "", "app_root_path": "", "path_params": {}, ROOT: self.root}


class Mount:
    """Knows the path under which a proxy serves the application, if that is not where it is mounted."""

    def __init__(self, root: str) -> None:
        self._root = root

    def place(self, scope: Scope) -> Place:
        """Returns where a request came to."""
        mounted = str(scope.get("root_path", "")).rstrip("/")
        # a proxy may strip the path of the outer application, which then is in the one but not in the other
        inner = mounted.removeprefix(str(scope.get("app_root_path", "")).rstrip("/"))
        prefixes = [one for one in (mounted, inner, self._root) if one]
        path = _below(scope["path"], prefixes)
        raw = scope.get("raw_path")
        if raw and path.startswith(_WITH_NAMES):
            path = _below(raw.decode("latin-1"), prefixes)
        return Place(self._root or mounted, path)


def _below(path: str, prefixes: list[str]) -> str:
    for prefix in prefixes:
        if path == prefix or path.startswith(f"{prefix}/"):
            return path.removeprefix(prefix) or "/"
    return path or "/"
