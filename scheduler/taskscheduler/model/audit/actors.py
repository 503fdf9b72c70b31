"""Who acts, and on whose word: the person or program that an action is written down for."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from taskscheduler.errors import InvalidOptionError
from taskscheduler.model.audit.actions import Role, may
from taskscheduler.model.changes import reason_option
from taskscheduler.model.sound import is_text

LONGEST_NAME = 200

PROGRAM, COMMAND_LINE, WEB, MCP = "program", "cli", "web", "mcp"


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who acts: a name, what it may do, and where it comes from."""

    name: str
    role: Role = Role.ADMIN
    via: str = PROGRAM  #: program, cli, web or mcp
    address: str | None = None  #: of the client of the web pages

    @classmethod
    def of(cls, name: Any, role: Any) -> Actor:
        """Checks a name and a role that a program gives; InvalidOptionError."""
        if not (is_text(name) and 1 <= len(name) <= LONGEST_NAME and name.isprintable()):
            raise InvalidOptionError(
                f"option as_ must be a printable text of 1 to {LONGEST_NAME} characters, not {name!r:.60}"
            )
        return cls(name, Role.of("role", role))

    def may(self, action: str) -> bool:
        """Returns whether it may take this action."""
        return may(self.role, action)


@dataclass(frozen=True, slots=True)
class Acting:
    """Somebody at work, with the reason for what it does."""

    actor: Actor
    reason: str | None = None

    def because(self, reason: Any) -> Acting:
        """Returns the same with this reason, a text of at most 500 characters; InvalidOptionError."""
        return replace(self, reason=reason_option(reason))
