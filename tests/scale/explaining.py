"""Explains every command of the product right before it is sent, while the data are as the command will find them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError
from pymongo.monitoring import CommandFailedEvent, CommandListener, CommandStartedEvent, CommandSucceededEvent

_EXPLAINED = {"find", "aggregate", "count", "update", "delete", "findAndModify"}
_OF_THE_SESSION = {"lsid", "$clusterTime", "$db", "txnNumber", "readConcern", "writeConcern", "$readPreference"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a command costs."""

    command: str
    stages: frozenset[str]
    keys: int
    documents: int
    returned: int  #: by the part that reads the collection: returned, matched or counted

    @property
    def scans(self) -> bool:
        """Whether it looks at the whole collection."""
        return "COLLSCAN" in self.stages

    @property
    def sorts(self) -> bool:
        """Whether it sorts in memory."""
        return bool(self.stages & {"SORT", "sort", "$sort"})


class Explainer(CommandListener):
    """Keeps the plans of the commands on one collection."""

    def __init__(self, uri: str, collection: str) -> None:
        self._client: MongoClient[dict[str, Any]] = MongoClient(uri)
        self._collection = collection
        self.plans: list[Plan] = []
        self.errors: list[Exception] = []  #: the driver swallows what a listener raises

    def started(self, event: CommandStartedEvent) -> None:
        if event.command_name in _EXPLAINED and event.command[event.command_name] == self._collection:
            try:
                self._explain(event)
            except PyMongoError as error:
                self.errors.append(error)

    def _explain(self, event: CommandStartedEvent) -> None:
        command = {key: value for key, value in event.command.items() if key not in _OF_THE_SESSION}
        for one in _single(command):
            answer = self._client[event.database_name].command("explain", one, verbosity="executionStats")
            self.plans.append(plan(event.command_name, answer))

    def succeeded(self, event: CommandSucceededEvent) -> None:
        pass

    def failed(self, event: CommandFailedEvent) -> None:
        pass

    def close(self) -> None:
        self._client.close()


def _single(command: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """An update of many statements, and a union, as one command each: no more is explained at once."""
    for name in ("updates", "deletes"):
        if name in command:
            yield from ({**command, name: [statement]} for statement in command[name])
            return
    union = [stage["$unionWith"]["pipeline"] for stage in command.get("pipeline", ()) if "$unionWith" in stage]
    if union:
        command = {**command, "pipeline": [stage for stage in command["pipeline"] if "$unionWith" not in stage]}
    yield command
    yield from ({"aggregate": command["aggregate"], "pipeline": part, "cursor": {}} for part in union)


def plan(command: str, answer: Mapping[str, Any]) -> Plan:
    """What an answer to `explain` says."""
    parts = [part for part in _mappings(answer) if "totalDocsExamined" in part and "executionStages" in part]
    stages = {str(part["stage"]) for part in _mappings(answer.get("queryPlanner", answer)) if "stage" in part}
    stages |= {key for stage in answer.get("stages", ()) for key in stage if key.startswith("$")}
    found = [_returned(part) for part in parts]
    documents, keys = (sum(int(part[f"total{what}Examined"]) for part in parts) for what in ("Docs", "Keys"))
    return Plan(command, frozenset(stages), keys, documents, sum(found))


def _returned(statistics: Mapping[str, Any]) -> int:
    stage = statistics["executionStages"]
    counted = (int(part[name]) for part in _mappings(stage) for name in ("nMatched", "nCounted") if name in part)
    return max(int(statistics["nReturned"]), *counted, 0)


def _mappings(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every mapping in an answer, but nothing of plans that were not chosen."""
    if isinstance(value, Mapping):
        yield value
        for name, inner in value.items():
            if name not in ("rejectedPlans", "allPlansExecution", "command", "slotBasedPlan"):
                yield from _mappings(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _mappings(inner)
