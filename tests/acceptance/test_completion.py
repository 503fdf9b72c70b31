"""Shell completion: bash, zsh and fish load the script and complete what is typed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("taskscheduler")
PATH = f"{COMMAND.parent}:{os.environ['PATH']}"

BASH = """
eval "$(taskscheduler completion bash)"
for line in "$@"; do
    read -r -a COMP_WORDS <<< "$line"
    [[ "$line" == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )) COMPREPLY=()
    _taskscheduler_completion taskscheduler
    echo "${COMPREPLY[*]}"
done
complete -p taskscheduler
"""

FISH = 'taskscheduler completion fish | source; complete --do-complete "taskscheduler lis"'

ZSH = """
autoload -Uz compinit; compinit -u -d "$TMPDIR/dump"
eval "$(taskscheduler completion zsh)"
print -r -- $_comps[taskscheduler]
"""


def shell(program: str, script: str, *arguments: str) -> list[str]:
    """The lines that a shell prints."""
    done = subprocess.run(
        [program, "-c", script, program, *arguments],
        env={**os.environ, "PATH": PATH}, capture_output=True, text=True, timeout=250,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return [*done.stdout.splitlines()]


def test_bash_completes_commands_options_and_values() -> None:
    lines = ["taskscheduler lis", "taskscheduler list --status ca", "taskscheduler schedule pa"]
    *found, registered = shell("bash", BASH, *lines)
    assert found == ["list listen", "canceled", "pause"]
    assert registered == "complete -o nosort -F _taskscheduler_completion taskscheduler"


@pytest.mark.skipif(shutil.which("fish") is None, reason="needs fish")
def test_fish_completes_commands() -> None:
    assert [line.split("\t")[0] for line in shell("fish", FISH)] == ["list", "listen"]


@pytest.mark.skipif(shutil.which("zsh") is None, reason="needs zsh")
def test_zsh_knows_who_completes() -> None:
    assert shell("zsh", ZSH) == ["_taskscheduler_completion"]


def test_the_commands_are_completed_without_loading_them() -> None:
    program = (
        "import sys; from taskscheduler_daemon.cli import main\n"
        "try:\n    main()\nfinally:\n    assert not {'pymongo', 'bson'} & set(sys.modules)"
    )
    completing = {"_TASKSCHEDULER_COMPLETE": "bash_complete", "COMP_WORDS": "taskscheduler ", "COMP_CWORD": "1"}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **completing}, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr, "plain,doctor" in done.stdout) == (0, "", True)


def test_another_shell_is_refused() -> None:
    done = subprocess.run([COMMAND, "completion", "tcsh"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in done.stderr
