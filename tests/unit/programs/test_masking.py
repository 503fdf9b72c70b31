"""Which parts of a command line are taken for secrets, and which are not."""

from __future__ import annotations

from time import process_time

from hypothesis import given
from hypothesis import strategies as st
from tests.support.tables import table

from taskscheduler_daemon.programs.masking import MASK, masked

SECRET = "hunter2-S3cr3t"


@table(
    "arguments",
    [
        ["backup", f"--password={SECRET}"],
        ["backup", "--password", SECRET],
        ["backup", "--db-password", SECRET, "--verbose"],
        ["backup", "-password", SECRET],
        ["deploy", "--token", SECRET],
        ["deploy", f"--api-key={SECRET}"],
        ["deploy", f"--apiKey={SECRET}"],
        ["deploy", "--access_token", SECRET],
        ["deploy", "--client-secret", SECRET],
        ["deploy", "--passphrase", SECRET],
        ["deploy", "--password", f"-{SECRET}"],
        ["env", f"PGPASSWORD={SECRET}", "pg_dump"],
        ["env", f"AWS_SECRET_ACCESS_KEY={SECRET}", "aws"],
        ["env", f"GITHUB_TOKEN={SECRET}", "gh"],
        ["mongodump", f"mongodb://root:{SECRET}@host/app"],
        ["mongodump", f"--uri=mongodb://root:{SECRET}@host/app"],
        ["psql", f"postgresql+psycopg://u:p@ss{SECRET}@host/app"],
        ["git", "clone", f"https://me:{SECRET}@example.com/x.git"],
        ["curl", "-H", f"Authorization: Bearer {SECRET}", "https://example.com"],
        ["curl", "-H", f"authorization: Digest {SECRET}"],
        ["curl", "-H", f"X-Api-Key: {SECRET}"],
        ["curl", "-H", f"Cookie: session={SECRET}"],
        ["curl", "-u", f"me:{SECRET}"],
        ["curl", f"--user=me:{SECRET}"],
        ["curl", f"https://example.com/?a=1&access_token={SECRET}&b=2"],
        ["curl", "-d", f'{{"user": "me", "password": "{SECRET}"}}'],
        ["mysql", f"-p{SECRET}", "app"],
        ["sshpass", "-p", SECRET, "ssh", "host"],
        ["redis-cli", "-a", SECRET],
        ["sh", "-c", f"mysqldump --password={SECRET} app > /tmp/x"],
        ["sh", "-c", f"deploy --token {SECRET} --now"],
        ["sh", "-c", f"PASSWORD='{SECRET}' ./run.sh"],
        ["sh", "-c", f"curl -u me:{SECRET} https://example.com"],
        ["gh", "ghp_hunter2S3cr3thunter2S3cr3t"],
        ["x", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJodW50ZXIyLVMzY3IzdCJ9.aHVudGVyMg"],
        ["x", f"-----BEGIN RSA PRIVATE KEY-----\n{SECRET}\n-----END RSA PRIVATE KEY-----"],
    ],
)
def test_what_looks_like_a_secret_is_masked(arguments: list[str]) -> None:
    shown = " ".join(masked(arguments))
    assert MASK in shown
    for part in (SECRET, "hunter2", "eyJzdWI"):
        assert part not in shown
    assert masked(arguments)[0] == arguments[0]


def test_everything_around_a_secret_stays_readable() -> None:
    def line(value: str) -> list[str]:
        url = f"--url=mongodb://root:{value}@host/app?w=1"
        return ["mysqldump", f"-p{value}", "--host", "db", url, "--token", value, "x"]

    assert masked(line(SECRET)) == line(MASK)
    assert masked(["sh", "-c", f"deploy --token {SECRET} --now"]) == ["sh", "-c", f"deploy --token {MASK} --now"]


@table(
    "arguments",
    [
        [],
        ["python", "import.py", "--path", "/srv/data", "-v"],
        ["rsync", "-a", "host:/srv/", "/srv/", "--bypass-cache", "--compass", "north"],
        ["tokenize", "--passes", "3", "--author", "me", "--authors=a,b", "--keyboard", "de"],
        ["cp", "passwords.txt", "secret.txt"],
        ["curl", "http://localhost:8080/a@b", "-u", "me"],
        ["ssh", "-p", "22", "me@host"],
        ["--password"],
    ],
)
def test_other_command_lines_stay_as_they_are(arguments: list[str]) -> None:
    assert masked(arguments) == arguments


@table("text", ["a", "a.", "-a", "a b ", "pass", "--token ", "token=", "a://", "a:", "eyJ", "eyJ.", '"'])
def test_a_long_argument_takes_no_time(text: str) -> None:
    """Linux allows 128 KiB; a pattern that backtracks takes more than ten seconds for this part of them."""
    began = process_time()
    assert len(masked(["sh", "-c", text * (32_768 // len(text))])) == 3
    assert process_time() - began < 3


@given(st.lists(st.text(max_size=60), max_size=6))
def test_every_command_line_keeps_its_length(arguments: list[str]) -> None:
    assert len(masked(arguments)) == len(arguments)
