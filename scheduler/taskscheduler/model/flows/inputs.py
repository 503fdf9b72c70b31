"""Results that other jobs take: placeholders in data, where they stand, and data with the results in their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bson import ObjectId

Path = tuple[str | int, ...]


class Pending:
    """Stands in data for a value that is not known yet."""

    __slots__ = ()


class Input(NamedTuple):
    """Where in the data of a job the result of another one goes."""

    path: Path
    job: ObjectId

    def stored(self) -> dict[str, Any]:
        """Returns it as it is stored in the field `inputs`."""
        return {"path": list(self.path), "job": self.job}


class _LeftOut:
    """Stands for the result of a failed job that is skipped."""


_LEFT_OUT = _LeftOut()


def places_of(form: Any, path: Path = ()) -> Iterator[tuple[Path, Pending]]:
    """Yields the placeholders in data that have their stored form otherwise, and where they stand."""
    if isinstance(form, Pending):
        yield path, form
    elif isinstance(form, Mapping):
        for name, item in form.items():
            if isinstance(item, Pending | Mapping | list | tuple):
                yield from places_of(item, (*path, name))
    elif isinstance(form, list | tuple):
        for number, item in enumerate(form):
            if isinstance(item, Pending | Mapping | list | tuple):
                yield from places_of(item, (*path, number))


def emptied(form: Any) -> Any:
    """Returns data with None in place of each placeholder."""
    if isinstance(form, Pending):
        return None
    if isinstance(form, Mapping):
        return {name: emptied(item) for name, item in form.items()}
    return [emptied(item) for item in form] if isinstance(form, list | tuple) else form


def read_inputs(stored: Any) -> list[Input] | None:
    """Returns what the field `inputs` of a job says; None if that makes no sense."""
    if not isinstance(stored, list):
        return None
    found = [_read(one) for one in stored]
    return None if None in found else [one for one in found if one is not None]


def _read(stored: Any) -> Input | None:
    path, job = (stored.get("path"), stored.get("job")) if isinstance(stored, Mapping) else (None, None)
    is_path = isinstance(path, list) and all(type(step) in (str, int) for step in path)
    return Input(tuple(path or ()), job) if is_path and isinstance(job, ObjectId) else None


def filled(data: Any, inputs: Sequence[Input], results: Mapping[ObjectId, Any], skips: bool) -> Any:
    """Returns data with the results of these jobs in their places; None for a job that has none.

    With `skips`, a job that has no result is left out of the list in which it stands.
    """
    missing: Any = _LEFT_OUT if skips else None
    whole = [data]
    for path, job in inputs:
        _put(whole, (0, *path), results.get(job, missing))
    return _without_left_out(whole[0]) if skips else whole[0]


def _put(within: Any, path: Path, value: Any) -> None:
    """Puts a value in its place. Somebody may have changed the data: then it stands nowhere."""
    *steps, last = path
    for step in steps:
        within = _at(within, step)
    if isinstance(within, dict) and isinstance(last, str):
        within[last] = value
    if isinstance(within, list) and isinstance(last, int) and 0 <= last < len(within):
        within[last] = value


def _at(within: Any, step: str | int) -> Any:
    if isinstance(within, dict):
        return within.get(str(step))
    if isinstance(within, list) and isinstance(step, int) and 0 <= step < len(within):
        return within[step]
    return None


def _without_left_out(value: Any) -> Any:
    if isinstance(value, _LeftOut):
        return None
    if isinstance(value, dict):
        return {name: _without_left_out(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_without_left_out(item) for item in value if not isinstance(item, _LeftOut)]
    return value
