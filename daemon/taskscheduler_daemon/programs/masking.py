"""Masks what looks like a secret in the command line of a tracked program, before it is stored."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

MASK = "***"

_WORDS = (
    r"pass(?:wd|word|phrase|code)?|pwd|secret|tokens?|credentials?|auth(?:orization)?|bearer|"
    r"(?:api|access|private|secret|account|encryption|signing|license)[-_]?key|apikey|cookie|otp|pin"
)

#: a name of which one of its words says that the value is secret: --db-password, AWS_SECRET_ACCESS_KEY, apiKey
_SECRET_NAME = (
    rf"(?<![\w.-])[\w.-]{{0,60}}(?<![a-z])"
    rf"(?:{_WORDS}|[a-z]{{0,20}}(?:password|passwd|secret|token|apikey))(?![a-z])[\w.-]*"
)

_OPTION = re.compile(rf"(?=-){_SECRET_NAME}", re.IGNORECASE)

_USER = re.compile(r"(?:-u|--(?:proxy-)?user)")

#: programs whose short option stands for a password, and that option
_SHORT = {"mysql": "-p", "mysqldump": "-p", "mysqladmin": "-p", "mariadb": "-p", "mongosh": "-p", "mongodump": "-p",
          "mongorestore": "-p", "sshpass": "-p", "redis-cli": "-a", "ldapsearch": "-w", "smbclient": "-U"}  # fmt: skip

_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s&;,'"}}]+)"""

#: in the middle of a text, such as the script of `sh -c`, a query, a header or JSON
_IN_TEXT: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
    (re.compile(r"(\b[a-z][a-z0-9+.-]{0,40}://[^\s/:@]*):[^\s/]*@", re.IGNORECASE), rf"\1:{MASK}@"),
    (re.compile(r"\b((?:proxy-)?authorization|(?:set-)?cookie|x-[a-z-]*(?:key|token))(\s*:\s*).*", re.IGNORECASE),
     rf"\1\2{MASK}"),
    (re.compile(r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1 {MASK}"),
    (re.compile(rf"({_SECRET_NAME}[\"']?\s*[=:]\s*){_VALUE}", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(rf"((?<!\S)(?=-){_SECRET_NAME}\s+)(?!-){_VALUE}", re.IGNORECASE), rf"\1{MASK}"),
    (re.compile(r"((?<!\S)(?:-u|--user)[\s=]+[^\s:=]+):\S+"), rf"\1:{MASK}"),
    (re.compile(r"\b(?:gh[pousr]_|github_pat_|glpat-|xox[abprs]-|sk-|rk_|sk_|npm_|pypi-|AKIA|ASIA|AIza|hvs\.)[\w-]{12,}"),
     MASK),
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), MASK),
)  # fmt: skip


def masked(arguments: Sequence[str]) -> list[str]:
    """Returns a command line in which values that look secret are replaced by `***`.

    They are known by the name of their option, variable or field, by their place in a URI or header, or by their form.
    A secret that looks like any other word cannot be known.
    """
    found: list[str] = []
    short = _SHORT.get(Path(arguments[0]).name) if arguments else None
    follows, user_follows = False, False
    for number, argument in enumerate(arguments):
        if follows and not argument.startswith("--"):
            found.append(MASK)
        elif user_follows and ":" in argument:
            found.append(f"{argument.partition(':')[0]}:{MASK}")
        elif number and short is not None and argument.startswith(short) and len(argument) > len(short):
            found.append(short + MASK)
        else:
            found.append(_masked_text(argument))
        follows = bool(number) and (argument == short or _OPTION.fullmatch(argument) is not None)
        user_follows = _USER.fullmatch(argument) is not None
    return found


def _masked_text(text: str) -> str:
    for pattern, replacement in _IN_TEXT:
        text = pattern.sub(replacement, text)
    return text
