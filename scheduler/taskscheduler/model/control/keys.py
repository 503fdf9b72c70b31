"""The controls that a job is under, as keys, and the places that it holds while it may run.

A job with one of the options `solo`, `limits`, `sequence` and `group` is *controlled*. It is stored POSTPONED. Once it
is due it is *parked*: its time moves to `parked_at`, its `at` to the far future, and `blocked` names the control in
whose list it waits, so that nobody looks at it again and again. When every control has room it is *admitted*: it is
WAITING and gets its places in the same write. A place is an entry of the field `gate`, which a unique index gives to
one job at a time.

| key             | control                                     | place                                            |
| --------------- | ------------------------------------------- | ------------------------------------------------ |
| `sequence:NAME` | the jobs of a sequence, in order            | one                                              |
| `limit:NAME`    | the concurrency of a limit                  | its number; the id of the job if nothing is set  |
| `solo:KEY`      | jobs that never run at the same time        | the key itself, as in version 0.1.0              |
| `rate:NAME`     | the rate of a limit                         | none: starts are counted                         |
| `node:QUEUE CLASS` | no node that is up runs such jobs        | none                                             |
| `group:...`     | the jobs of a group, see `GroupList`        | none: a node takes them from there by turns      |
| `flow:JOIN`     | jobs that have to end before, see `flows`   | none                                             |

A job of a group waits in the list of that first. When its turn comes, its other controls are asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from taskscheduler.model.lifecycle import Status, Transition, target
from taskscheduler.model.sound import is_text, sound

SEQUENCE, LIMIT, RATE, SOLO, NODE, GROUP = "sequence", "limit", "rate", "solo", "node", "group"

FLOW = "flow"  #: the kind of the lists of jobs that come after others; nothing but their end lets them out

SKIP, BLOCK = "skip", "block"  #: what a failed job of a sequence means for the others

FAR = datetime(9999, 1, 1, tzinfo=UTC)  #: the `at` of a parked job

#: the fields of a job that needs places, or starts of a rate
PLACE_FIELDS = ("sequence", "limits", "solo")

#: the fields that make a job a controlled one
CONTROL_FIELDS = (*PLACE_FIELDS, "group")

# of every job that a node claims it is asked whether it has none of these, and again at its end
_HAS_NO_PLACE, _HAS_NO_CONTROL = frozenset(PLACE_FIELDS).isdisjoint, frozenset(CONTROL_FIELDS).isdisjoint

#: the fields of a job that decide in which list it waits first
LISTED_FIELDS = dict.fromkeys((*CONTROL_FIELDS, "queue", "priority"), 1)

#: what a job carries while it is parked
PARKED_FIELDS = ("parked_at", "blocked")

#: divides the parts of some keys and of places; names have none, and no key of a solo job begins with it
MARK = "\0"

LOWEST, HIGHEST = -(2**31), 2**31 - 1  #: priorities

PRIORITY_BASE = 10**10 - LOWEST  #: added to a priority, gives numbers of the same length, which sort as texts


def key(kind: str, name: str) -> str:
    """Returns the key of a control."""
    return f"{kind}:{name}"


def kind_and_name(text: str) -> tuple[str, str]:
    """Returns what a key says."""
    kind, _, name = text.partition(":")
    return kind, name


def node_key(job: Mapping[str, Any]) -> str:
    """Returns the key of the list in which a controlled job waits for a node that runs it."""
    return key(NODE, f"{job.get('queue')} {job.get('class')}")


def is_controlled(job: Mapping[str, Any]) -> bool:
    """Whether a stored job waits for a control before it waits for a slot."""
    return not _HAS_NO_CONTROL(job)


def keys_of(job: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the keys of the controls that a stored job is under, in the order of evaluation; rates are limits."""
    if _HAS_NO_PLACE(job):
        return ()
    keys = [key(SEQUENCE, job["sequence"])] if is_text(job.get("sequence")) else []
    keys += [key(LIMIT, name) for name in sound(job, "limits", ()) if is_text(name)]
    if is_text(job.get("solo")):
        keys.append(key(SOLO, job["solo"]))
    return tuple(dict.fromkeys(keys))


class GroupList(NamedTuple):
    """The list of the jobs of a group that have the same queue and priority."""

    queue: str
    priority: int
    group: str

    @property
    def key(self) -> str:
        """Its key. Those of a queue sort by priority."""
        return f"{GROUP}:{self.queue}{MARK}{self.priority + PRIORITY_BASE}{MARK}{self.group}"


def read_group_list(text: Any) -> GroupList | None:
    """Reads the key of the list of a group; None if it is none."""
    kind, name = kind_and_name(text) if is_text(text) else ("", "")
    parts = name.split(MARK, 2)
    if kind != GROUP or len(parts) < 3 or not parts[1].isdecimal() or len(parts[1]) != len(str(PRIORITY_BASE)):
        return None
    return GroupList(parts[0], int(parts[1]) - PRIORITY_BASE, parts[2])


def group_lists(queue: str | None = None) -> dict[str, str]:
    """Matches the keys of the lists of all groups, or of those of one queue."""
    first = f"{GROUP}:" if queue is None else f"{GROUP}:{queue}{MARK}"
    return {"$gte": first, "$lt": first[:-1] + chr(ord(first[-1]) + 1)}


def _group_list(job: Mapping[str, Any]) -> GroupList | None:
    queue, priority, group = (job.get(name) for name in GroupList._fields)
    whole = isinstance(priority, int) and LOWEST <= priority <= HIGHEST
    return (
        GroupList(str(queue), int(priority or 0), str(group)) if whole and is_text(queue) and is_text(group) else None
    )


def first_list(job: Mapping[str, Any]) -> str:
    """Returns the list in which a controlled job waits when it is parked."""
    own = _group_list(job)
    return next(iter(keys_of(job)), "") if own is None else own.key


def place_range(text: str) -> tuple[str, str]:
    """Returns the bounds of the places of a limit or sequence: the first one, and what comes after the last one."""
    kind, name = kind_and_name(text)
    return f"{MARK}{kind}{MARK}{name}{MARK}", f"{MARK}{kind}{MARK}{name}\x01"


def place(text: str, number: Any) -> str:
    """Returns the name of one place of a limit or sequence."""
    return place_range(text)[0] + str(number)


def place_number(text: str, name: Any) -> int | None:
    """Returns the number of a place of this limit or sequence; None for a place without a number, or of another one."""
    first, _ = place_range(text)
    if not is_text(name) or not name.startswith(first):
        return None
    number = name[len(first) :]
    return int(number) if number.isdecimal() and len(number) < 10 else None  # an id has 24 digits


def is_place_of(text: str, name: Any) -> bool:
    """Whether this is a place of a control."""
    kind, plain = kind_and_name(text)
    return bool(name == plain) if kind == SOLO else is_text(name) and name.startswith(place_range(text)[0])


def free_number(taken: Iterable[str], text: str, concurrency: int) -> int | None:
    """Returns the lowest free number of a limit; None if as many places are taken as it has, whatever their numbers.

    Whoever reads the same places gets the same number, and the unique index gives it to one of them. So a limit that
    was lowered is kept, too.
    """
    names = list(taken)
    if len(names) >= concurrency:
        return None
    numbers = {place_number(text, name) for name in names}
    return next(number for number in range(concurrency) if number not in numbers)


def gate_of(keys: Iterable[str], places: Iterable[str]) -> str | list[str]:
    """Returns what to store in the field `gate`. That of a job that is only solo is its key, as in version 0.1.0."""
    taken = list(places)
    return taken[0] if [kind_and_name(text)[0] for text in keys] == [SOLO] else taken


def places_in(job: Mapping[str, Any]) -> list[str]:
    """Returns the places that a stored job holds."""
    gate = job.get("gate")
    return list(filter(is_text, gate if isinstance(gate, list) else [gate]))


def hold_back(document: dict[str, Any], now: datetime) -> None:
    """Turns a new document of a controlled job into one that waits for its controls; does nothing for any other."""
    if not is_controlled(document):
        return
    document["status"] = int(target(Transition.POSTPONE))
    if document["at"] <= now:
        document["parked_at"], document["at"] = document["at"], FAR
        document["blocked"] = first_list(document)


def blocks_sequence(job: Mapping[str, Any]) -> bool:
    """Whether others of its sequence wait until somebody has dealt with a job that has failed."""
    return "sequence" in job and sound(job, "options", {}).get("sequence_on_failure") == BLOCK


def is_parked(job: Mapping[str, Any]) -> bool:
    """Whether a stored job is due and waits for a control."""
    return job.get("status") == Status.POSTPONED and "parked_at" in job
