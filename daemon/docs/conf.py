"""Sphinx: makes a site of these pages. `sphinx-build -W daemon/docs build/docs` builds it.

The pages are those of the repository. The site adds what is generated: the tree of pages, which follows the links of
the index, the docstrings of the public names, and what each command says about itself.
"""

from __future__ import annotations

import re
from importlib.metadata import version as version_of
from typing import Any

project = "taskscheduler"
author = "the authors of taskscheduler"
version = release = version_of("mongo-taskscheduler")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]
root_doc = "index"
myst_heading_anchors = 4  # the anchors of GitHub
default_role = "literal"  # docstrings have code in single backticks
smartquotes = False  # an option begins with two hyphens
autodoc_default_options = {"members": True, "inherited-members": "BaseException,Enum,Generic,dict,int,str,tuple"}
suppress_warnings = ["misc.highlighting_failure"]  # some blocks show a part of a program or of a document

html_theme = "furo"
html_title = f"taskscheduler {version}"
html_extra_path = ["llms.txt"]
html_copy_source = False

_GROUP = re.compile(r"^(?:## )?([^\n:]+)(?::[^\n]*)?\n\n(?=- \[)", re.MULTILINE)
_PAGE = re.compile(r"^- \[[^\]]*\]\(([\w/-]+)\.md\)", re.MULTILINE)
_OUTSIDE = re.compile(r"\[([^\]]*)\]\((?:\.\./){3,}[^)]*\)")
_COMMAND = re.compile(r"^(\| +)(taskscheduler .*)$")
_EXAMPLE = re.compile(r"^(\S.*)\n\n(?=    )", re.MULTILINE)


def trees_of_pages(index: str) -> str:
    """Returns a hidden tree for each list of links in the index."""
    heads = [*_GROUP.finditer(index)]
    ends = [*(head.start() for head in heads[1:]), len(index)]
    lists = [(head[1], _PAGE.findall(index[head.end() : end])) for head, end in zip(heads, ends, strict=True)]
    return "\n".join(
        "\n".join(["```{toctree}", ":hidden:", f":caption: {caption}", "", *pages, "```", ""])
        for caption, pages in lists
    )


def complete(_app: Any, page: str, source: list[str]) -> None:
    """Adds the trees to the index, and keeps only the text of links to files that are no pages."""
    source[0] = _OUTSIDE.sub(r"\1", source[0])
    if page == root_doc:
        source[0] += "\n" + trees_of_pages(source[0])


def mark_examples(_app: Any, _what: str, _name: str, _value: Any, _options: Any, lines: list[str]) -> None:
    """Makes each indented example of a docstring a block of code."""
    lines[:] = _EXAMPLE.sub(r"\1\n\n::\n\n", "\n".join(lines)).splitlines()


def mark_commands(_app: Any, _context: Any, lines: list[str]) -> None:
    """Makes each line of a help text with a command code, and lets no other one mark anything."""
    lines[:] = [_COMMAND.sub(r"\1``\2``", line) if _COMMAND.match(line) else line.replace("*", r"\*") for line in lines]


def setup(app: Any) -> None:
    """Binds what the site adds."""
    app.connect("source-read", complete)
    app.connect("autodoc-process-docstring", mark_examples)
    for part in ("description", "options", "epilog"):
        app.connect(f"sphinx-click-process-{part}", mark_commands)
