"""`taskscheduler web` as a process: it says where it listens, answers there, and ends when it is told to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tests.support import commands

from taskscheduler_daemon.cli import main

MAIN = "import sys; from taskscheduler_daemon.cli import main; sys.exit(main())"
COMMAND = [sys.executable, "-c", MAIN, "web", "--port", "0"]
SECONDS = 30


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(uri: str, number: signal.Signals) -> None:
    environment = {**os.environ, "TASKSCHEDULER_URI": uri}
    with commands.Popen(COMMAND, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr
            address = process.stderr.readline().split()[-1]
            with urlopen(f"{address}tasks", timeout=SECONDS) as answer:
                assert json.load(answer) == []
            process.send_signal(number)
            assert process.wait(SECONDS) == 0
            assert process.stderr.read() == ""
        finally:
            process.kill()


TOKEN = "a-long-token"


def served(uri: str, *arguments: str, **environment: str) -> tuple[str, int]:
    """Returns what it says until it serves, and the answer to a request without the token."""
    environment = {**os.environ, "TASKSCHEDULER_URI": uri, **environment}
    command = [*COMMAND, *arguments]
    with commands.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr
            said = process.stderr.readline()
            address = said if "http://" in said else process.stderr.readline()
            request = Request(f"{address.split()[-1]}tasks", headers={"Authorization": f"Bearer {TOKEN}"})
            with urlopen(request, timeout=SECONDS) as answer:
                assert answer.status == 200
            with pytest.raises(HTTPError) as refused:
                urlopen(address.split()[-1], timeout=SECONDS)
            refused.value.close()
            return said, refused.value.code
        finally:
            process.kill()


def test_a_token_on_the_command_line_is_warned_of(uri: str) -> None:
    said, code = served(uri, "--token", TOKEN)
    assert "every user of this host can read the token in --token" in said
    assert TOKEN not in said
    assert code == 401


def test_a_token_from_a_file_or_the_environment_is_not(uri: str, tmp_path: Path) -> None:
    file = str(tmp_path / "token")
    Path(file).write_text(f"{TOKEN}\n")
    said = [
        served(uri, "--token-file", file),
        served(uri, TASKSCHEDULER_WEB_TOKEN=TOKEN),
        served(uri, TASKSCHEDULER_WEB_TOKEN_FILE=file),
    ]
    for line, code in said:
        assert (line.startswith("taskscheduler: http://"), code) == (True, 401)


@pytest.mark.parametrize("blank", ["", " ", "\t \n", "\u3000"])
def test_a_token_of_blanks_is_refused(
    uri: str, blank: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(blank, encoding="utf-8")
    ways = [["--token", blank], ["--token-file", str(tmp_path / "token")]]
    for way in ways:
        assert main(["web", "-u", uri, "--port", "0", *way]) == 2
        assert "the token must have 1 to 4096 characters besides blanks" in capsys.readouterr().err
    if blank:
        monkeypatch.setenv("TASKSCHEDULER_WEB_TOKEN", blank)
        assert main(["web", "-u", uri, "--port", "0"]) == 2
        assert "the token must have" in capsys.readouterr().err
