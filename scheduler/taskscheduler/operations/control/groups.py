"""Sets, lists and takes away the weights of groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from taskscheduler.model.control.groups import DEFAULT_WEIGHT, Group, stored_group
from taskscheduler.model.control.keys import GROUP, GroupList, key
from taskscheduler.operations.audit.acting import acting_name
from taskscheduler.store import Store

MOST_LISTED = 1000  #: groups of which nobody has set the weight

MOST_COUNTED = 1000  #: waiting jobs of one group


@dataclass(frozen=True, slots=True)
class GroupUse:
    """A group, and how many of its jobs wait for their turn."""

    group: Group
    waiting: int  #: due jobs that wait for the turn of the group; 1000 at most are counted

    @property
    def name(self) -> str:
        """The name of the group."""
        return self.group.name

    @property
    def weight(self) -> float | int:
        """How many turns it gets while a group of weight 1 gets one."""
        return self.group.weight


def set_group(store: Store, group: Group) -> Group:
    """Stores the weight of a group in place of the one before."""
    now = store.clock.now()
    made = replace(group, by=acting_name(), at=now.replace(microsecond=now.microsecond // 1000 * 1000))
    store.controls.put(made.key, stored_group(made))
    return made


def delete_group(store: Store, name: str) -> bool:
    """Takes the weight of a group away; returns whether there was one."""
    return store.controls.delete(key(GROUP, name)) is not None


def groups(store: Store, most: int = MOST_LISTED) -> list[GroupUse]:
    """Returns the groups that have a weight, and `most` others that wait at most, by their names."""
    known = {group.name: group for group in store.controls.load().groups}
    lists = store.group_lists.waiting()
    others = sorted({one.group for one in lists} - set(known))[:most]
    known |= {name: Group(name, DEFAULT_WEIGHT) for name in others}
    waiting = _counts(store, [one for one in lists if one.group in known])
    return [GroupUse(group, waiting[name]) for name, group in sorted(known.items())]


def group_use(store: Store, name: str) -> GroupUse | None:
    """Returns the group of this name; None if it has no weight and no jobs of it wait."""
    known = next((group for group in store.controls.load().groups if group.name == name), None)
    waiting = _counts(store, [one for one in store.group_lists.waiting() if one.group == name])[name]
    return GroupUse(known or Group(name, DEFAULT_WEIGHT), waiting) if known or waiting else None


def _counts(store: Store, lists: list[GroupList]) -> Counter[str]:
    counts = Counter[str]()
    for one, waiting in store.group_lists.counts(lists, MOST_COUNTED).items():
        counts[one.group] = min(MOST_COUNTED, counts[one.group] + waiting)
    return counts
