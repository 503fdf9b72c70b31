"""A mongod that demands users and TLS, with certificates made on the spot."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from taskscheduler.embedded import find_mongod
from tests.support.eventually import eventually
from tests.support.replicaset import free_port

_FLAGS = ("--bind_ip", "127.0.0.1", "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64", "--quiet")


class Certificates:
    """A certificate authority, and what it has signed for the server on loopback and for clients."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.ca, self._ca_key = directory / "ca.pem", directory / "ca.key"
        subject = ["-subj", "/CN=test ca", "-days", "2"]
        self._openssl("req", "-x509", *self._new_key(self._ca_key), "-out", str(self.ca), *subject)
        self.server = self._signed("server", "subjectAltName=IP:127.0.0.1,DNS:localhost")
        self.client = self._signed("client", "extendedKeyUsage=clientAuth")

    def _signed(self, name: str, extension: str) -> Path:
        """A key and its certificate in one file, as MongoDB wants them."""
        key, request, signed = (self._directory / f"{name}.{end}" for end in ("key", "csr", "crt"))
        self._openssl("req", "-new", *self._new_key(key), "-out", str(request), "-subj", f"/CN={name}/O=taskscheduler")
        extensions = self._directory / f"{name}.cnf"
        extensions.write_text(extension)
        authority = ["-CA", str(self.ca), "-CAkey", str(self._ca_key), "-CAcreateserial", "-days", "2"]
        self._openssl("x509", "-req", "-in", str(request), *authority, "-extfile", str(extensions), "-out", str(signed))
        both = self._directory / f"{name}.pem"
        both.write_bytes(key.read_bytes() + signed.read_bytes())
        return both

    @staticmethod
    def _new_key(path: Path) -> list[str]:
        return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(path)]

    @staticmethod
    def _openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)


class Fortress:
    """A replica set of one that takes nobody without a client certificate, a user and a password."""

    def __init__(self, directory: Path, tls: bool = True) -> None:
        self.port = free_port()
        self._directory = directory
        self.certificates = Certificates(directory) if tls else None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Fortress:
        key, data = self._directory / "keyfile", self._directory / "data"
        key.write_text("taskscheduler" * 3)
        key.chmod(0o600)
        data.mkdir()
        where = ["--dbpath", str(data), "--port", str(self.port), "--logpath", str(self._directory / "log")]
        command = [str(find_mongod()), *where, "--replSet", "rs0", "--keyFile", str(key), *self._tls(), *_FLAGS]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            self._initiate()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)

    def _tls(self) -> list[str]:
        if self.certificates is None:
            return []
        files = ["--tlsCertificateKeyFile", str(self.certificates.server), "--tlsCAFile", str(self.certificates.ca)]
        return ["--tlsMode", "requireTLS", *files]

    def options(self) -> dict[str, str]:
        """What a URI needs to be let in."""
        if self.certificates is None:
            return {}
        files = {"tlsCAFile": str(self.certificates.ca), "tlsCertificateKeyFile": str(self.certificates.client)}
        return {"tls": "true", **files}

    def uri(self, user: str, database: str = "app", **options: str) -> str:
        """`user` is `name:password`, or nothing for nobody. Options override those that are needed; "" removes one."""
        chosen = {**self.options(), "serverSelectionTimeoutMS": "3000", **options}
        query = urlencode({name: value for name, value in chosen.items() if value}, safe="/")
        return f"mongodb://{user + '@' if user else ''}127.0.0.1:{self.port}/{database}?{query}"

    def admin(self, database: str = "admin") -> MongoClient[dict[str, Any]]:
        """A client that may do everything."""
        return MongoClient(self.uri("root:root", database, authSource="admin"))

    def add_user(self, name: str, password: str, database: str, roles: list[Any]) -> None:
        with self.admin() as client:
            client[database].command("createUser", name, pwd=password, roles=roles)

    def _initiate(self) -> None:
        """The first user may be made from this host without one; it makes the others."""
        members = [{"_id": 0, "host": f"127.0.0.1:{self.port}"}]
        with MongoClient[dict[str, Any]](self.uri("", "admin", directConnection="true")) as client:
            eventually(lambda: self._answers(client), 30, "mongod")
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
            eventually(lambda: client.admin.command("hello")["isWritablePrimary"], 30, "a primary")
            client.admin.command("createUser", "root", pwd="root", roles=["root"])

    def _answers(self, client: MongoClient[dict[str, Any]]) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._directory / "log").read_text()[-2000:]
        try:
            return bool(client.admin.command("ping"))
        except PyMongoError:
            return False
