"""The files that pages load: the style sheet, the scripts, and a library with its licence. No build step makes them."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Header, HTTPException, Response

_HERE = Path(__file__).parent

_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}

_FOR_EVER, _BRIEFLY = "private, max-age=31536000, immutable", "private, max-age=300"


class _Asset(NamedTuple):
    plain: bytes
    packed: bytes
    type: str


def _read(path: Path) -> _Asset:
    plain = path.read_bytes()
    return _Asset(plain, gzip.compress(plain, mtime=0), _TYPES[path.suffix])


#: every file that a page may load, by its name in the address; nothing else is read
ASSETS: Mapping[str, _Asset] = {
    path.relative_to(_HERE).as_posix(): _read(path) for path in sorted(_HERE.rglob("*")) if path.suffix in _TYPES
}

#: changes with any of the files, so that browsers may keep them for ever
VERSION = hashlib.blake2b(b"".join(one.plain for one in ASSETS.values()), digest_size=6).hexdigest()

router = APIRouter(include_in_schema=False)


@router.get("/static/{name:path}")
def asset(name: str, v: str = "", accept_encoding: Annotated[str, Header()] = "") -> Response:
    """Returns a file; the browser keeps one that it asks for by version."""
    if name not in ASSETS:
        raise HTTPException(404, "Not Found")
    found = ASSETS[name]
    headers = {"Cache-Control": _FOR_EVER if v == VERSION else _BRIEFLY, "Vary": "Accept-Encoding"}
    if "gzip" in accept_encoding:
        return Response(found.packed, headers={**headers, "Content-Encoding": "gzip"}, media_type=found.type)
    return Response(found.plain, headers=headers, media_type=found.type)


@router.get("/robots.txt")
def robots() -> Response:
    """Asks search engines to stay away."""
    return Response("User-agent: *\nDisallow: /\n", media_type="text/plain")
