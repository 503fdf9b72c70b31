"""How each fault of a process is done and healed.

Generators: they do it, yield for how many seconds it lasts, and heal it when they go on.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Generator, Iterator, Mapping

from tests.faults.cluster import LEASE, Cluster, Member, exit_code
from tests.faults.history import Event, read
from tests.faults.program import SILENCE

_LOOKS = 30
Fault = Callable[[Cluster, float], Iterator[float]]


def one_of(members: list[Member], choice: float) -> Member:
    running = [member for member in members if member.running] or members
    return running[int(choice * len(running))]


def some_of(pids: list[int], choice: float) -> list[int]:
    return [pids[int(choice * 7919) % len(pids)]] if pids else []


def paused(cluster: Cluster, pids: list[int], seconds: float) -> Iterator[float]:
    cluster.history.write("pause", pids=pids)
    cluster.signal(pids, signal.SIGSTOP)
    try:
        yield seconds
    finally:
        cluster.signal(pids, signal.SIGCONT)
        cluster.history.write("resume", pids=pids)


def kill_worker(cluster: Cluster, choice: float) -> Iterator[float]:
    cluster.signal(some_of(one_of(cluster.nodes, choice).workers, choice), signal.SIGKILL)
    yield 0.0


def ask_worker_to_end(cluster: Cluster, choice: float) -> Iterator[float]:
    cluster.signal(some_of(one_of(cluster.nodes, choice).workers, choice), _request(choice))
    yield 0.0


def ask_manager_to_end(cluster: Cluster, choice: float) -> Iterator[float]:
    cluster.signal(one_of(cluster.nodes, choice).manager, _request(choice))
    yield 0.0


def ask_all_of_a_node_to_end(cluster: Cluster, choice: float) -> Iterator[float]:
    """As systemd does it by default."""
    node = one_of(cluster.nodes, choice)
    cluster.signal(node.tree, signal.SIGTERM)
    node.wait(20)
    yield 0.0
    node.start()


def _request(choice: float) -> int:
    return signal.SIGHUP if choice > 0.7 else signal.SIGTERM


def pause_worker(cluster: Cluster, choice: float) -> Iterator[float]:
    pids = some_of(one_of(cluster.nodes, choice).workers, choice)
    yield from paused(cluster, pids, 0.5 + choice * 1.6 * LEASE)


def kill_manager(cluster: Cluster, choice: float) -> Iterator[float]:
    cluster.signal(one_of(cluster.nodes, choice).manager, signal.SIGKILL)
    yield 0.0


def pause_manager(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from paused(cluster, one_of(cluster.nodes, choice).manager, 0.5 + choice * 1.6 * LEASE)


def kill_node(cluster: Cluster, choice: float) -> Iterator[float]:
    node = one_of(cluster.nodes, choice)
    node.kill()
    yield LEASE * 2 if choice > 0.5 else 0.5
    node.start()


def pause_node_process(cluster: Cluster, choice: float) -> Iterator[float]:
    """Its manager and workers go on: what they report in the meantime comes too late."""
    yield from paused(cluster, [one_of(cluster.nodes, choice).pid], LEASE * 2.2)


def freeze_node(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from paused(cluster, one_of(cluster.nodes, choice).tree, LEASE * (1.2 + choice))


def stop_node(cluster: Cluster, choice: float) -> Iterator[float]:
    node = one_of(cluster.nodes, choice)
    asked = node.ask_to_stop()
    yield 5.0
    if asked is not None and exit_code(asked, 15) is None:
        cluster.history.write("stuck", who=node.name)
        node.kill()
    node.start()


def recycle_workers(cluster: Cluster, choice: float) -> Iterator[float]:
    cluster.signal([one_of(cluster.nodes, choice).pid], signal.SIGHUP)
    yield 0.0


def cut_node_off(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _between(cluster, "cut", one_of(cluster.nodes, choice).name, 1.0 + choice * 2 * LEASE)


def hold_node(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _between(cluster, "hold", one_of(cluster.nodes, choice).name, 1.0 + choice * 2 * LEASE)


def _between(cluster: Cluster, what: str, client: str, seconds: float) -> Iterator[float]:
    for port in cluster.servers.ports:
        getattr(cluster.proxies, what)(port, client)
    try:
        yield seconds
    finally:
        for port in cluster.servers.ports:
            cluster.proxies.heal(port, client)


def kill_producer(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _restarted(one_of(cluster.producers, choice))


def kill_listener(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _restarted(cluster.listener)


def _restarted(member: Member) -> Iterator[float]:
    member.kill()
    yield 0.5
    member.start()


def kill_program(cluster: Cluster, choice: float) -> Iterator[float]:
    yield from _restarted((yield from _in_its_turn(cluster, choice)))


def pause_program(cluster: Cluster, choice: float) -> Iterator[float]:
    program = yield from _in_its_turn(cluster, choice)
    yield from paused(cluster, [program.pid], SILENCE * (0.5 + choice))


def cut_program_off(cluster: Cluster, choice: float) -> Iterator[float]:
    program = yield from _in_its_turn(cluster, choice)
    yield from _between(cluster, "cut", program.name, SILENCE * (0.5 + choice))


def _in_its_turn(cluster: Cluster, choice: float) -> Generator[float, None, Member]:
    """A program that has its turn; any one, if none gets it soon."""
    for _ in range(_LOOKS):
        for program in cluster.programs:
            if program.running and _works(read(cluster.history_directory, program.pid)):
                return program
        yield 0.1
    return one_of(cluster.programs, choice)


def _works(events: list[Event]) -> bool:
    return bool(events) and events[-1]["what"] in ("start", "beat")


def kill_all_nodes(cluster: Cluster, choice: float) -> Iterator[float]:
    for node in cluster.nodes:
        node.kill()
    yield 1.0
    for node in cluster.nodes:
        node.start()


PROCESS_FAULTS: Mapping[str, Fault] = {
    "kill worker": kill_worker,
    "ask worker to end": ask_worker_to_end,
    "pause worker": pause_worker,
    "kill manager": kill_manager,
    "ask manager to end": ask_manager_to_end,
    "pause manager": pause_manager,
    "kill node": kill_node,
    "pause node process": pause_node_process,
    "freeze node": freeze_node,
    "stop node": stop_node,
    "ask all of a node to end": ask_all_of_a_node_to_end,
    "recycle workers": recycle_workers,
    "cut node off": cut_node_off,
    "hold node's connections": hold_node,
    "kill producer": kill_producer,
    "kill listener": kill_listener,
    "kill all nodes": kill_all_nodes,
    "kill program": kill_program,
    "pause program": pause_program,
    "cut program off": cut_program_off,
}
