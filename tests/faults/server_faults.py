"""How each fault of a server is done and healed.

Generators: they do it, yield for how many seconds it lasts, and heal it when they go on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bson import ObjectId
from pymongo.errors import PyMongoError
from pymongo.write_concern import WriteConcern

from tests.faults.cluster import LEASE, Cluster
from tests.faults.process_faults import Fault, paused

_WRITES = ["insert", "update", "findAndModify", "delete"]
_ALL = [*_WRITES, "find", "aggregate", "getMore"]
_FILLER_MB, _FILLED = 60, "faults.filler"


def step_down(cluster: Cluster, choice: float) -> Iterator[float]:
    cluster.servers.step_down()
    yield 1.0


def kill_primary(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _killed(cluster, cluster.servers.primary(), 1.0 + 3 * choice)


def kill_secondary(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _killed(cluster, cluster.servers.secondaries()[0], 1.0 + 3 * choice)


def _killed(cluster: Cluster, port: int, seconds: float) -> Iterator[float]:
    cluster.servers.kill(port)
    yield seconds
    cluster.servers.start(port)


def pause_primary(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _frozen(cluster, [cluster.servers.primary()], 2.5 + 3 * choice)


def pause_all_for_half_a_lease(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _frozen(cluster, list(cluster.servers.ports), LEASE / 2)


def majority_lost(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _frozen(cluster, cluster.servers.secondaries(), 2.0 + 3 * choice)


def _frozen(cluster: Cluster, ports: list[int], seconds: float) -> Iterator[float]:
    for port in ports:
        cluster.servers.pause(port)
    try:
        yield seconds
    finally:
        for port in ports:
            cluster.servers.resume(port)


def replication_stalls(cluster: Cluster, choice: float) -> Iterator[float]:
    """Nothing is committed for a while; in half of the cases the primary dies with what it has alone."""
    primary, others = cluster.servers.primary(), cluster.servers.secondaries()
    for port in others:
        cluster.servers.fail_point(port, "stopReplProducer", "alwaysOn")
    yield 2.0 + 2 * choice
    if choice > 0.5:
        cluster.servers.kill(primary)
    for port in others:
        cluster.servers.fail_point(port, "stopReplProducer", "off")
    yield 2.0
    if choice > 0.5:
        cluster.servers.start(primary)


def cut_primary_off(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _network(cluster, "cut", cluster.servers.primary(), 2.0 + 3 * choice)


def hold_primary(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _network(cluster, "hold", cluster.servers.primary(), 2.0 + 3 * choice)


def _network(cluster: Cluster, what: str, port: int, seconds: float) -> Iterator[float]:
    getattr(cluster.proxies, what)(port)
    try:
        yield seconds
    finally:
        cluster.proxies.heal(port)


def delay_member(cluster: Cluster, choice: float) -> Iterator[float]:
    port = cluster.servers.ports[int(choice * 3)]
    cluster.proxies.delay(port, 0.1)
    yield 3.0
    cluster.proxies.delay(port, 0.0)


def reset_all(cluster: Cluster, choice: float) -> Iterator[float]:
    for port in cluster.servers.ports:
        cluster.proxies.reset(port)
    yield 0.0


def fail_commands(cluster: Cluster, choice: float) -> Iterator[float]:
    """Commands of clients fail before they do anything, by a closed connection or an error."""
    how = ({"closeConnection": True}, {"errorCode": 11602}, {"errorCode": 50})[int(choice * 3)]
    yield from _failing(cluster, {"failCommands": _ALL, **how}, int(5 + choice * 20))


def fail_after_writing(cluster: Cluster, choice: float) -> Iterator[float]:
    """Writes are carried out and then reported as failed."""
    error = {"code": (64, 91, 11602)[int(choice * 3)], "errmsg": "as the plan wants it"}
    yield from _failing(cluster, {"failCommands": _WRITES, "writeConcernError": error}, int(5 + choice * 20))


def _failing(cluster: Cluster, data: dict[str, Any], times: int) -> Iterator[float]:
    """Each client in turn: a failpoint knows one application name, and servers among themselves must not be hit."""
    members = (*cluster.nodes, *cluster.producers, *cluster.programs, cluster.listener)
    for client in [member.name for member in members]:
        primary = cluster.servers.primary()
        cluster.servers.fail_point(primary, "failCommand", {"times": times}, {**data, "appName": client})
        yield 0.6
        cluster.servers.fail_point(primary, "failCommand", "off")


def drop_messages(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _collection(cluster, {"drop": "taskscheduler.queue"})


def shrink_messages(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _collection(cluster, {"collMod": "taskscheduler.queue", "cappedSize": 4096})


def drop_events(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _collection(cluster, {"drop": "taskscheduler.events"})


def _collection(cluster: Cluster, command: dict[str, Any]) -> Iterator[float]:
    with cluster.database() as database:
        try:
            database.command(command)
        except PyMongoError as error:
            cluster.history.write("fault_failed", why=str(error)[:200])
    yield 1.0


def roll_oplog(cluster: Cluster, choice: float) -> Iterator[float]:
    """While the nodes and their streams are frozen, so much is written that their place in the oplog is gone."""
    for seconds in paused(cluster, [node.pid for node in cluster.nodes if node.running], 0.1):
        yield seconds
        _fill(cluster)
        yield 2.0


def _fill(cluster: Cluster) -> None:
    try:
        with cluster.database() as database:
            filler = database.get_collection(_FILLED, write_concern=WriteConcern(w=3, wtimeout=10_000))
            for _ in range(_FILLER_MB):
                filler.insert_one({"_id": ObjectId(), "filler": bytes(1_000_000)})
            filler.drop()
    except PyMongoError as error:
        cluster.history.write("fault_failed", why=str(error)[:200])


def power_loss(cluster: Cluster, choice: float) -> Iterator[float]:
    """Every node and every server dies at once."""
    for node in cluster.nodes:
        node.kill()
    for port in cluster.servers.ports:
        cluster.servers.kill(port)
    yield 1.0
    for port in cluster.servers.ports:
        cluster.servers.start(port)
    for node in cluster.nodes:
        node.start()


SERVER_FAULTS: Mapping[str, Fault] = {
    "step down": step_down,
    "kill primary": kill_primary,
    "kill secondary": kill_secondary,
    "pause primary": pause_primary,
    "pause all servers for half a lease": pause_all_for_half_a_lease,
    "majority lost": majority_lost,
    "replication stalls": replication_stalls,
    "cut primary off": cut_primary_off,
    "hold primary's connections": hold_primary,
    "delay a member": delay_member,
    "reset all connections": reset_all,
    "fail commands": fail_commands,
    "fail after writing": fail_after_writing,
    "drop message queue": drop_messages,
    "shrink message queue": shrink_messages,
    "drop event log": drop_events,
    "roll the oplog over": roll_oplog,
    "power loss": power_loss,
}
