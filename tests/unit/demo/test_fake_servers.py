"""The servers of the demo, as their clients see them."""

from __future__ import annotations

import http.client
import smtplib
import socket
from pathlib import Path

import pytest

from taskscheduler_daemon.demo.fake_servers import HOST, FakeHttpServer, FakeMailServer, serving


def test_mails_are_written_whole_and_in_order(tmp_path: Path) -> None:
    with serving(FakeMailServer(tmp_path)) as port:
        for subject in ("one", "two"):
            with smtplib.SMTP(HOST, port, local_hostname="localhost", timeout=5) as client:
                client.sendmail("a@example.org", ["b@example.org"], f"Subject: {subject}\r\n\r\n.dot\r\n")
    assert (tmp_path / "1.eml").read_bytes() == b"Subject: one\r\n\r\n.dot\r\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1.eml", "2.eml"]


def test_a_mail_needs_a_sender_and_a_receiver(tmp_path: Path) -> None:
    with serving(FakeMailServer(tmp_path)) as port, socket.create_connection((HOST, port), 5) as client:
        answers = client.makefile("rb")
        assert answers.readline() == b"220 demo ready\r\n"
        for command, code in (("RCPT TO:<b>", b"503"), ("DATA", b"503"), ("NONSENSE", b"502"), ("QUIT", b"221")):
            client.sendall(f"{command}\r\n".encode())
            assert answers.readline().startswith(code)
        answers.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("requests", [3])
def test_only_the_first_request_finds_the_server_busy(requests: int) -> None:
    statuses, bodies = [], []
    with serving(FakeHttpServer(b"content")) as port:
        for _ in range(requests):
            client = http.client.HTTPConnection(HOST, port, timeout=5)
            client.request("GET", "/data.bin")
            answer = client.getresponse()
            statuses.append(answer.status)
            bodies.append(answer.read())
            client.close()
    assert statuses == [503, 200, 200]
    assert bodies[1:] == [b"content"] * 2
