"""Groups: the methods of `scheduler.groups`."""

from __future__ import annotations

from taskscheduler.facade.actions import action
from taskscheduler.facade.methods import Methods
from taskscheduler.model.control.groups import Group, new_group
from taskscheduler.model.control.limits import limit_name
from taskscheduler.operations.control.groups import GroupUse, delete_group, groups, set_group
from taskscheduler.store.driver_errors import translated


class Groups(Methods):
    """Groups of jobs that take turns within a queue and a priority, however many jobs each of them has waiting."""

    @action("group.set", target="name", facts=("weight",))
    def set(self, name: str, weight: float) -> Group:
        """Sets the weight of a group, in place of the one before; it holds within a second.

        A group of weight 3 gets three turns while one of weight 1 gets one: 0.01 to 1000. A group that nobody has set
        has weight 1. Jobs name their group in the option `group`. InvalidOptionError.
        """
        group = new_group(name, weight)
        with translated():
            return set_group(self._core.store, group)

    def all(self) -> list[GroupUse]:
        """Returns the groups that have a weight or waiting jobs by their names, each with how many jobs wait.

        Of those that have no weight, 1000 at most.
        """
        with translated():
            return groups(self._core.store)

    @action("group.delete", target="name")
    def delete(self, name: str) -> bool:
        """Takes the weight of a group away, so that it has weight 1; returns whether it had one."""
        checked = limit_name("name", name)
        with translated():
            return delete_group(self._core.store, checked)
