"""The embedded MongoDB server: one mongod per user and state directory, shared by all processes that want it.

    with acquire() as server:
        MongoClient(server.uri)

The first process starts the server, the others join it, and it stops after the last one; its data stays. Programs of
other users of the host are kept out: each client logs in with the key in the state directory.
"""

from __future__ import annotations

from taskscheduler.embedded.binary import find_mongod
from taskscheduler.embedded.project import DATABASE_VARIABLE, EmbeddedDatabase
from taskscheduler.embedded.server import EmbeddedServer, acquire
from taskscheduler.embedded.state_dir import DATABASE, STATE_VARIABLE, default_state_dir

__all__ = [
    "DATABASE",
    "DATABASE_VARIABLE",
    "STATE_VARIABLE",
    "EmbeddedDatabase",
    "EmbeddedServer",
    "acquire",
    "default_state_dir",
    "find_mongod",
]
