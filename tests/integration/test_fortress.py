"""A server that demands a user and TLS: everything works there, every mistake is told in one line, no password is."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.eventually import eventually
from tests.support.fortress import Fortress
from tests.support.nodes import ROOT, descendants
from tests.support.replicaset import free_port

from taskscheduler import AuthenticationError, InvalidOptionError, Scheduler, Status
from taskscheduler_daemon.cli import main

COMMAND = Path(sys.executable).with_name("taskscheduler")
PASSWORD = "hunter2/hunter2"
QUOTED = "hunter2%2Fhunter2"
SECRETS = (PASSWORD, QUOTED, "hunter2")


@pytest.fixture(scope="module")
def fortress(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fortress]:
    with Fortress(tmp_path_factory.mktemp("fortress")) as running:
        for name, roles in (("app", ["readWrite"]), ("reader", ["read"]), ("nobody", [])):
            running.add_user(name, PASSWORD, "app", list(roles))
        yield running


@pytest.fixture
def uri(fortress: Fortress) -> str:
    return fortress.uri(f"app:{QUOTED}")


def run(*arguments: str, uri: str | None = None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TASKSCHEDULER_")}
    environment |= {"PYTHONPATH": str(ROOT), **({"TASKSCHEDULER_URI": uri} if uri else {})}
    return subprocess.run([COMMAND, *arguments], env=environment, capture_output=True, text=True, timeout=60)


def silent_about_secrets(*texts: str) -> bool:
    return not any(secret in text for text in texts for secret in SECRETS)


# -- it works ---------------------------------------------------------------------------------------------------------


def test_application_node_and_command_work_behind_a_password_and_tls(
    fortress: Fortress, uri: str, tmp_path: Path
) -> None:
    """And say nothing of the password: not in logs at debug level, not in process titles."""
    log, script = tmp_path / "node.log", tmp_path / "node.py"
    script.write_text(
        "import logging, os, sys\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "from taskscheduler import Scheduler\n"
        "from taskscheduler_daemon import QueueNode\n"
        "node = QueueNode(Scheduler(os.environ['TASKSCHEDULER_URI']), jobs=['tests.support.jobs'], name='fort')\n"
        "sys.exit(node.on('*', lambda event, process: None).process())\n"
    )
    with log.open("w") as output:
        environment = {**os.environ, "TASKSCHEDULER_URI": uri, "PYTHONPATH": str(ROOT)}
        node = subprocess.Popen([sys.executable, script], env=environment, stdout=output, stderr=output)
    try:
        eventually(lambda: node.poll() is not None or "node ready" in log.read_text(), 30, "node ready")
        with Scheduler(uri) as scheduler:
            assert scheduler.add_job("sum", {"a": 1, "b": 2}).result(20)["sum"] == 3
            assert scheduler.add_job("uses_scheduler").result(20)
            waiting = scheduler.add_job("wait", {"seconds": 60})
            eventually(lambda: waiting.refresh().status is Status.PROCESSING, 20)
            titles = [
                Path(f"/proc/{pid}/{part}").read_bytes().decode(errors="replace")
                for pid in (node.pid, *descendants(node.pid))
                for part in ("cmdline", "comm", "stat")
            ]
            said = [run(*words, uri=uri) for words in (["status"], ["status", "-v", "-o", "json"], ["doctor", "-v"])]
            said.append(run("add", "sum", '{"a": 5}', "--wait", "-v", uri=uri))
            waiting.cancel()
            assert waiting.wait(20).status is Status.CANCELED
    finally:
        node.terminate()
        node.wait(20)
    assert [done.returncode for done in said] == [0] * 4, said
    assert len(titles) > 6
    assert silent_about_secrets(*titles, log.read_text(), *(done.stdout + done.stderr for done in said))
    assert "DEBUG" in log.read_text()  # the driver tells every command there
    stored = json.loads(run("status", "-o", "json", uri=uri).stdout)
    assert silent_about_secrets(json.dumps(stored))


def test_the_node_command_works_there_too(uri: str, tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    with log.open("w") as output:
        environment = {**os.environ, "TASKSCHEDULER_URI": uri, "PYTHONPATH": str(ROOT)}
        command = [str(COMMAND), "node", "-v", "--jobs", "tests.support.jobs"]
        node = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
    try:
        with Scheduler(uri) as scheduler:
            assert scheduler.add_job("sum", {"a": 1}).result(30)["sum"] == 1
    finally:
        node.terminate()
        assert node.wait(20) == 0
    assert silent_about_secrets(log.read_text())


# -- mistakes ---------------------------------------------------------------------------------------------------------

WRONG_LOGIN = "refused this user or password: Authentication failed; check both, and authSource"
MISTAKES: list[Any] = [
    pytest.param({"user": f"app:{QUOTED}x"}, 4, WRONG_LOGIN, id="wrong password"),
    pytest.param({"user": f"stranger:{QUOTED}"}, 4, WRONG_LOGIN, id="wrong user"),
    pytest.param({"authSource": "admin"}, 4, WRONG_LOGIN, id="wrong authSource"),
    pytest.param({"user": ""}, 4, "demands a user and a password; the URI names none", id="no user"),
    pytest.param({"user": f"nobody:{QUOTED}"}, 4, "does not let this user run listCollections on app", id="no role"),
    pytest.param(
        {"user": f"reader:{QUOTED}"}, 4, "connect once as a user with the role taskscheduler_setup", id="reader"
    ),
    pytest.param(
        {"tls": "", "tlsCAFile": "", "tlsCertificateKeyFile": ""}, 4, "put tls=true into the URI", id="no tls"
    ),
    pytest.param({"tlsCAFile": ""}, 4, "not trusted; name who has signed it: tlsCAFile=", id="no ca"),
    pytest.param({"tlsCertificateKeyFile": ""}, 4, "tlsCertificateKeyFile=/path/to/client.pem", id="no certificate"),
    pytest.param({"tlsCAFile": "/no/such.pem"}, 2, "/no/such.pem: No such file or directory", id="no ca file"),
]


Said = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    """Run the command in this process: exit code, output, standard error."""

    def call(uri: str, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.setenv("TASKSCHEDULER_URI", uri)
        code = main(arguments)
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def wrong(fortress: Fortress) -> Callable[[dict[str, str]], str]:
    """A URI with a mistake, to a database in which nothing is prepared."""
    with fortress.admin() as client:
        client.app.drop_collection("taskscheduler.jobs")
    return lambda mistake: fortress.uri(**{"user": f"app:{QUOTED}", "serverSelectionTimeoutMS": "500", **mistake})


@pytest.mark.parametrize(("mistake", "code", "said"), MISTAKES)
def test_every_mistake_is_told_in_one_line_with_the_cure(
    wrong: Callable[[dict[str, str]], str], say: Said, mistake: dict[str, str], code: int, said: str
) -> None:
    ended, out, err = say(wrong(mistake), "add", "noop")
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert said in err
    assert "lsid" not in err  # nor anything else of the command that was refused
    with_traceback = say(wrong(mistake), "add", "noop", "-v")
    assert "Traceback" in with_traceback[2]
    assert silent_about_secrets(err, *with_traceback[1:])


@pytest.mark.parametrize(("mistake", "code", "said"), [MISTAKES[0], MISTAKES[5], MISTAKES[6]])
def test_a_node_tells_mistakes_like_any_command(
    wrong: Callable[[dict[str, str]], str], mistake: dict[str, str], code: int, said: str
) -> None:
    done = run("node", "--jobs", "tests.support.jobs", uri=wrong(mistake))
    assert done.returncode == code
    assert said in done.stderr
    lines = [line for line in done.stderr.splitlines() if " INFO " not in line and " WARNING " not in line]
    assert len(lines) == 1
    assert silent_about_secrets(done.stdout, done.stderr)


def test_a_server_without_tls_is_told_apart(tmp_path: Path) -> None:
    with Fortress(tmp_path, tls=False) as plain:
        done = run("list", uri=plain.uri(f"app:{QUOTED}", tls="true", serverSelectionTimeoutMS="700"))
    assert done.returncode == 4
    # a handshake that fails may take so long that the command says where it connects to
    assert sum(not line.startswith("taskscheduler: connecting to ") for line in done.stderr.splitlines()) == 1
    assert "if it does not speak TLS, take tls=true out of the URI" in done.stderr


@pytest.mark.parametrize("command", ["list", "status", "doctor", "add noop", "wait 5f5f5f5f5f5f5f5f5f5f5f5f", "listen"])
def test_a_dead_host_is_told_without_the_password(say: Said, caplog: pytest.LogCaptureFixture, command: str) -> None:
    uri = f"mongodb://app:{QUOTED}@127.0.0.1:{free_port()}/app?serverSelectionTimeoutMS=300"
    with caplog.at_level(logging.DEBUG):
        code, out, err = say(uri, *command.split(), "-v")
    assert code == (1 if command == "doctor" else 4)
    assert "no MongoDB server could be reached" in out + err
    assert silent_about_secrets(out, err, caplog.text)


@pytest.mark.parametrize("command", ["node", "dev"])
def test_a_node_without_a_server_says_nothing_of_the_password(command: str) -> None:
    uri = f"mongodb://app:{QUOTED}@127.0.0.1:{free_port()}/app?serverSelectionTimeoutMS=300"
    done = run(command, "-v", uri=uri)
    assert done.returncode == 4
    assert silent_about_secrets(done.stdout, done.stderr)


def test_the_application_gets_the_same_words(fortress: Fortress) -> None:
    with Scheduler(fortress.uri(f"app:{QUOTED}x")) as scheduler, pytest.raises(AuthenticationError, match=WRONG_LOGIN):
        scheduler.add_job("noop")
    with pytest.raises(InvalidOptionError, match=r"/no/such\.pem: No such file or directory"):
        Scheduler(fortress.uri(f"app:{QUOTED}", tlsCAFile="/no/such.pem"))


def test_a_password_on_the_command_line_is_warned_of(uri: str, say: Said) -> None:
    """Everybody can read the arguments of everybody's processes; only the environment is one's own."""
    warning = "taskscheduler: every user of this host can read the password in --uri; set TASKSCHEDULER_URI instead\n"
    assert say("", "-u", uri, "list")[::2] == (0, warning)
    assert say("", "list", "--uri", uri)[::2] == (0, warning)
    assert say(uri, "list")[::2] == (0, "")
    nobody = f"mongodb://app@127.0.0.1:{free_port()}/app?serverSelectionTimeoutMS=300"
    assert "every user" not in say("", "-u", nobody, "list")[2]
