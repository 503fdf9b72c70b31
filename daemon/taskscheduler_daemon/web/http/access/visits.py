"""What is known of who sends a request: its address, also behind proxies that we trust, and what it brings with it."""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.types import Scope

from taskscheduler.errors import InvalidOptionError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def networks(option: str, given: Iterable[str]) -> list[Network]:
    """Returns the networks that addresses such as 10.0.0.5 or 10.0.0.0/8 stand for; InvalidOptionError."""
    try:
        return [ipaddress.ip_network(one) for one in given]
    except ValueError as error:
        raise InvalidOptionError(f"{option} takes addresses such as 10.0.0.5 or 10.0.0.0/8: {error}") from error


LOOPBACK = networks("loopback", ["127.0.0.0/8", "::1"])


def is_in(address: str, known: Sequence[Network]) -> bool:
    """Returns whether an address belongs to one of these networks."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None) or found
    return any(mapped in network for network in known if network.version == mapped.version)


class Visit(NamedTuple):
    """A request, as far as it matters for who sent it."""

    peer: str  #: the address at the other end of the connection; empty if it has none
    address: str  #: that of the client, as a trusted proxy says it
    is_secure: bool  #: whether the client speaks TLS
    headers: Headers

    @classmethod
    def of(cls, scope: Scope, proxies: Sequence[Network]) -> Visit:
        """Returns the visit of a request; only these proxies are believed what they say of it."""
        headers, client = Headers(scope=scope), scope.get("client")
        peer = str(client[0]) if client else ""
        secure = scope.get("scheme") == "https"
        if not is_in(peer, proxies):
            return cls(peer, peer, secure, headers)
        passed = [part.strip() for line in headers.getlist("x-forwarded-for") for part in line.split(",")]
        # the last address that is no proxy of ours: whatever stands before it, the client may have written itself
        address = next((one for one in reversed(passed) if not is_in(one, proxies)), peer)
        return cls(peer, address[:60], secure or headers.get("x-forwarded-proto", "").lower() == "https", headers)

    def cookie(self, name: str) -> str:
        """Returns a cookie; empty if there is none."""
        return cookie_parser(self.headers.get("cookie", "")).get(name, "")

    def credentials(self) -> tuple[str, bytes]:
        """Returns the user, who may be anything, and the token that the client gives, as bearer or as a password."""
        kind, _, value = self.headers.get("authorization", "").partition(" ")
        given = value.strip().encode("latin-1", "replace")  # the bytes that were sent
        if kind.lower() == "bearer":
            return "", given
        if kind.lower() != "basic":
            return "", b""
        try:
            user, _, password = base64.b64decode(given, validate=True).partition(b":")
        except (binascii.Error, ValueError):
            return "", b""
        return user.decode("utf-8", "replace"), password
