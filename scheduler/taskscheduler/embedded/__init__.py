"""The embedded MongoDB server: one mongod per user and state directory, shared by all processes that want it.

    with acquire() as server:
        MongoClient(server.uri)

The first process starts the server, the others join it, and it stops after the last one; its data stays.
"""

from __future__ import annotations

from taskscheduler.embedded.binary import find_mongod
from taskscheduler.embedded.server import EmbeddedServer, acquire
from taskscheduler.embedded.state_dir import default_state_dir

__all__ = ["EmbeddedServer", "acquire", "default_state_dir", "find_mongod"]
