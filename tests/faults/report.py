"""What a run has shown, for people: the faults, the mechanisms that were seen at work, the counts, the violations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from tests.faults.checker import Facts, Violation

_MOST_SHOWN = 20

#: what the log of a node or of the listener says when a mechanism did its work
_SAYINGS: Mapping[str, Sequence[str]] = {
    "a fence refused a write": (),
    "a lease was reaped": ("took back jobs of a lost node",),
    "a stream was reopened": ("change stream interrupted", "change stream starts anew"),
    "a stream lost its place": ("change stream starts anew",),
    "a manager killed jobs at its deadline": ("lease not renewed in time",),
    "a node found itself declared lost": ("another node has taken over",),
    "a node replaced its manager": ("the worker manager died",),
    "a claim was uncertain": ("claim uncertain", "claiming failed"),
    "a heartbeat failed": ("heartbeat failed",),
}
#: without these a run has shown nothing
NEEDED = ("a fence refused a write", "a lease was reaped", "a stream was reopened")


def mechanisms(facts: Facts) -> dict[str, int]:
    """How often each mechanism was seen at work."""
    said = Counter(event["text"] for event in facts.of("log"))
    seen = {
        name: sum(count for text, count in said.items() if any(text.startswith(start) for start in starts))
        for name, starts in _SAYINGS.items()
    }
    reaped = {job for event in facts.of("reaped") for job in event["jobs"]}
    late = [job for event in facts.of("fenced") for job, _, _ in event["ends"] if job in reaped]
    seen["a fence refused a write"] = len(late)  # that of a cancelled job proves nothing
    seen["a stream was reopened"] += sum(1 for _ in facts.of("resumed"))
    seen["a lost worker's job was handed back"] = sum(
        1 for change in facts.changes if change["set"].get("lost", 0) and change["set"].get("status") == 0
    )
    seen["a parked job was let in"] = sum(1 for change in facts.changes if "parked_at" in change["unset"])
    seen["a sequence was released"] = sum(1 for _ in facts.of("released"))
    seen["a program was refused"] = sum(1 for _ in facts.of("refused"))
    ends = Counter((document.get("error") or {}).get("type") for document in facts.documents.values())
    seen["a silent program was ended"] = ends["SilenceError"]
    seen["a dead program was ended"] = ends["ProgramLostError"]
    seen["a service was started again"] = sum(
        len(runs) - 1 for job, runs in facts.runs.items() if facts.is_service(job)
    )
    seen["an add was refused or uncertain"] = sum(1 for _ in facts.of("unknown"))
    seen["a listener was told of a gap"] = sum(1 for _ in facts.of("gap"))
    return seen


def lines(
    faults: Mapping[str, int], seen: Mapping[str, int], counted: Mapping[str, int], broken: Sequence[Violation]
) -> list[str]:
    """The report."""
    text = ["", f"faults: {sum(faults.values())}", *(f"  {count:5} {name}" for name, count in sorted(faults.items()))]
    text += ["", "seen at work:", *(f"  {count:5} {name}" for name, count in seen.items())]
    text += ["", "counts:", *(f"  {count:5} {name}" for name, count in counted.items())]
    text += ["", f"violations: {len(broken)}"]
    for rule, count in Counter(violation.rule for violation in broken).items():
        text.append(f"  {count:5} {rule}")
    text += [f"  {violation.rule}: {violation.job} {violation.text}" for violation in broken[:_MOST_SHOWN]]
    return [*text, f"  and {len(broken) - _MOST_SHOWN} more"] if len(broken) > _MOST_SHOWN else text


def verdict(seen: Mapping[str, int], broken: Sequence[Violation]) -> int:
    """The exit code: 0 all promises kept, 1 some broken, 2 nothing happened that could have broken them."""
    if broken:
        return 1
    return 0 if all(seen[name] for name in NEEDED) else 2
