"""Makes `llms.txt`, the list of all pages for language models, from the index: `python -m tests.support.llms`.

Its form is that of https://llmstxt.org.
"""

from __future__ import annotations

import re

from tests.support.pages import DOCS

FILE = DOCS / "llms.txt"

_HEAD = """\
# taskscheduler

> Clustered job scheduling for Python on MongoDB: durable jobs, retries, schedules, flows, limits, forked workers.

- The package is `mongo-taskscheduler`, the module is `taskscheduler`. `pip install 'mongo-taskscheduler[all]'` brings a
  node, the command line, the web pages and an embedded MongoDB server. Python 3.11 or newer, on Linux or macOS.
- A job is a function with `@job`, or a class with a method `start`. `send_mail.add("ada@example.com")` adds one.
- `taskscheduler init FOLDER` writes a project that runs, and `taskscheduler dev --jobs MODULE` runs its jobs.
- The pytest fixtures `scheduler`, `inline_node` and `clock` test jobs without a node.
- Data and results are BSON, never pickles. A job may run more than once, and its outcome is recorded exactly once.
"""

_LINK = re.compile(r"- \[.+\]\(.+\)")


def llms_text(index: str) -> str:
    """The text of the file, for this text of the index: a section for each heading, and each group below one."""
    lines: list[str] = []
    for line in index.splitlines():
        if line.startswith("## "):
            lines += ["", f"## {line[3:].partition(':')[0]}", ""]
        elif line.endswith(":") and not line.startswith(("#", "-")):
            lines += ["", f"## How-to: {line.rstrip(':')}", ""]
        elif _LINK.match(line) or line.startswith("  "):
            lines.append(line)
    sections = re.sub(r"## [^\n]+\n\n+(?=## |\Z)", "", "\n".join(lines))  # without links
    return _HEAD + re.sub("\n{3,}", "\n\n", sections) + "\n"


if __name__ == "__main__":
    FILE.write_text(llms_text((DOCS / "index.md").read_text()))
