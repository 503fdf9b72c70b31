"""Limits and sequences: the methods of `scheduler.limits` and `scheduler.sequences`."""

from __future__ import annotations

from taskscheduler.facade.actions import action
from taskscheduler.facade.methods import Methods
from taskscheduler.model.checks import Seconds
from taskscheduler.model.control.limits import Limit, limit_name, new_limit
from taskscheduler.operations.control.limits import LimitUse, delete_limit, limits, set_limit
from taskscheduler.operations.control.sequences import BlockedSequence, blocked_sequences, release_sequence
from taskscheduler.store.driver_errors import translated


class Limits(Methods):
    """How many jobs of a name may run at the same time in the whole cluster, or start in a time."""

    @action("limit.set", target="name", facts=("concurrency", "rate", "per", "burst"))
    def set(
        self,
        name: str,
        concurrency: int | None = None,
        rate: float | None = None,
        per: Seconds | None = None,
        burst: int | None = None,
    ) -> Limit:
        """Sets the limit of a name, in place of the one before; it holds within half a second, also for jobs that wait.

        `concurrency`: so many of its jobs run at the same time at most, 0 keeps all from starting. `rate`: so many
        start in `per` seconds (1); after a rest `burst` of them may start at once, by default one and those of 50 ms. A
        name that ends with `*` stands for all names that begin so, each with places of its own. Jobs name their limits
        in the option `limits`; a limit that nobody has set does not limit. InvalidOptionError.
        """
        limit = new_limit(name, concurrency, rate, per, burst)
        with translated():
            return set_limit(self._core.store, limit)

    def all(self) -> list[LimitUse]:
        """Returns the limits by their names, each with the jobs that hold a place and how many wait for one."""
        with translated():
            return limits(self._core.store)

    @action("limit.delete", target="name")
    def delete(self, name: str) -> bool:
        """Takes a limit away, so that its jobs are not limited any more; returns whether there was one."""
        checked = limit_name("name", name, star=True)
        with translated():
            return delete_limit(self._core.store, checked)


class Sequences(Methods):
    """Jobs that run one at a time, in the order in which they were added."""

    def blocked(self) -> list[BlockedSequence]:
        """Returns the sequences that wait since a job with `sequence_on_failure="block"` has failed, 1000 at most."""
        with translated():
            return blocked_sequences(self._core.store)

    @action("sequence.release", target="key")
    def release(self, key: str) -> bool:
        """Lets the next job of a sequence run although one has failed; returns whether one was in the way."""
        checked = limit_name("key", key)
        with translated():
            return release_sequence(self._core.store, checked)
