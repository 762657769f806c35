"""A server on 127.0.0.1 that speaks the part of the Hugging Face hub's HTTP interface that bundles need.

The client is huggingface_hub itself. Repositories are in memory; each commit is a whole tree. Files that end in
``.safetensors`` go by Git LFS, as on the hub, the others inside the commit; Xet is not spoken.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

TOKEN = "hf_of_the_tests"
READ_ONLY = "hf_read_only"


@dataclass
class Repository:
    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    """Of each commit, newest last, its files."""
    references: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        """Add a commit to main and return its id."""
        content = repr((sorted(files.items()), len(self.commits)))
        oid = hashlib.sha1(content.encode(), usedforsecurity=False).hexdigest()
        self.commits[oid] = files
        self.references["main"] = oid
        return oid


@dataclass
class Hub:
    """What the server holds, and what it was asked."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    """Contents that were uploaded by Git LFS, by their SHA-256."""
    requests: list[str] = field(default_factory=list)
    cards: list[str] = field(default_factory=list)
    """Each model card that the client had checked before it sent a commit."""
    broken: int = 0
    """Status of every answer; 0: as it should be."""


def _is_lfs(path: str) -> bool:
    return path.endswith(".safetensors")


def _blob_id(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


class _RefusalError(Exception):
    def __init__(self, status: int, code: str = "") -> None:
        super().__init__(code)
        self.status, self.code = status, code


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def log_message(self, format: str, *arguments: Any) -> None: ...

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length) if length else self._chunks()
        self.hub.requests.append(f"{self.command} {path}")
        try:
            if self.hub.broken:
                raise _RefusalError(self.hub.broken)
            for pattern, method in _ROUTES.items():
                if match := re.fullmatch(pattern, f"{self.command} {path}"):
                    return method(self, **match.groupdict())
            raise _RefusalError(404)
        except _RefusalError as refusal:
            self._send(b"{}", status=refusal.status, headers={"X-Error-Code": refusal.code} if refusal.code else {})

    def _chunks(self) -> bytes:
        """The body of a request in chunks."""
        body = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        return body

    def _send(self, content: bytes, *, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, document: object, status: int = 200) -> None:
        self._send(json.dumps(document).encode(), status=status, headers={"Content-Type": "application/json"})

    @property
    def _token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _may_write(self) -> None:
        if not self._token:
            raise _RefusalError(401)
        if self._token != TOKEN:
            raise _RefusalError(403)

    def _repository(self, name: str) -> Repository:
        repository = self.hub.repositories.get(name)
        if repository is None or (repository.private and self._token not in {TOKEN, READ_ONLY}):
            raise _RefusalError(401 if not self._token else 404, "RepoNotFound")
        return repository

    def _commit_id(self, repository: Repository, revision: str) -> str:
        oid = repository.references.get(revision, revision)
        if oid not in repository.commits:
            raise _RefusalError(404, "RevisionNotFound")
        return oid

    def create(self) -> None:
        self._may_write()
        request = json.loads(self.body)
        name = f"{request['organization']}/{request['name']}"
        if name in self.hub.repositories:
            return self._json({"url": f"{self.hub.url}/{name}"}, status=409)
        private = request.get("visibility") == "private" or bool(request.get("private"))
        self.hub.repositories[name] = Repository(private)
        self.hub.repositories[name].commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        self._json({"url": f"{self.hub.url}/{name}"})

    def info(self, name: str, revision: str | None = None) -> None:
        repository = self._repository(name)
        oid = self._commit_id(repository, revision or "main")
        siblings = [{"rfilename": path} for path in repository.commits[oid]]
        self._json({"id": name, "sha": oid, "private": repository.private, "siblings": siblings})

    def tree(self, name: str, revision: str) -> None:
        repository = self._repository(name)
        files = repository.commits[self._commit_id(repository, revision)]
        self._json([_entry(path, content) for path, content in files.items()])

    def resolve(self, name: str, revision: str, path: str) -> None:
        repository = self._repository(name)
        oid = self._commit_id(repository, revision)
        if path not in repository.commits[oid]:
            raise _RefusalError(404, "EntryNotFound")
        content = repository.commits[oid][path]
        etag = hashlib.sha256(content).hexdigest() if _is_lfs(path) else _blob_id(content)
        self._send(content, headers={"X-Repo-Commit": oid, "ETag": f'"{etag}"', "Accept-Ranges": "none"})

    def check_card(self) -> None:
        self.hub.cards.append(json.loads(self.body)["content"])
        self._json({"errors": [], "warnings": []})

    def preupload(self, name: str, revision: str) -> None:
        self._may_write()
        files = self._repository(name).commits[self._commit_id(self._repository(name), revision)]
        self._json(
            {
                "files": [
                    {
                        "path": entry["path"],
                        "uploadMode": "lfs" if _is_lfs(entry["path"]) else "regular",
                        "shouldIgnore": False,
                        "oid": _blob_id(files[entry["path"]]) if entry["path"] in files else None,
                    }
                    for entry in json.loads(self.body)["files"]
                ]
            }
        )

    def batch(self, name: str) -> None:
        self._may_write()
        self._repository(name)
        objects = []
        for entry in json.loads(self.body)["objects"]:
            actions = {} if entry["oid"] in self.hub.objects else {"actions": self._actions(entry["oid"])}
            objects.append({**entry, **actions})
        self._json({"transfer": "basic", "objects": objects})

    def _actions(self, oid: str) -> dict[str, Any]:
        return {"upload": {"href": f"{self.hub.url}/lfs/{oid}"}, "verify": {"href": f"{self.hub.url}/lfs-verify"}}

    def store(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise _RefusalError(400)
        self.hub.objects[oid] = self.body
        self._json({})

    def verify(self) -> None:
        request = json.loads(self.body)
        if len(self.hub.objects[request["oid"]]) != request["size"]:
            raise _RefusalError(400)
        self._json({})

    def commit(self, name: str, revision: str) -> None:
        self._may_write()
        repository = self._repository(name)
        parent = self._commit_id(repository, revision)
        files = dict(repository.commits[parent])
        for line in self.body.splitlines():
            operation = json.loads(line)
            value = operation["value"]
            match operation["key"]:
                case "header" if value.get("parentCommit", parent) != parent:
                    raise _RefusalError(412)
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.objects[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        oid = repository.commit(files)
        self._json({"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{name}/commit/{oid}"})


def _entry(path: str, content: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": path, "size": len(content), "oid": _blob_id(content)}
    if _is_lfs(path):
        entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
    return entry


_REPO = r"(?P<name>[\w.-]+/[\w.-]+)"
_ROUTES: dict[str, Any] = {
    r"POST /api/repos/create": _Handler.create,
    r"POST /api/validate-yaml": _Handler.check_card,
    rf"GET /api/models/{_REPO}": _Handler.info,
    rf"GET /api/models/{_REPO}/revision/(?P<revision>.+)": _Handler.info,
    rf"GET /api/models/{_REPO}/tree/(?P<revision>.+)": _Handler.tree,
    rf"(HEAD|GET) /{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)": _Handler.resolve,
    rf"POST /api/models/{_REPO}/preupload/(?P<revision>.+)": _Handler.preupload,
    rf"POST /{_REPO}\.git/info/lfs/objects/batch": _Handler.batch,
    r"PUT /lfs/(?P<oid>[0-9a-f]{64})": _Handler.store,
    r"POST /lfs-verify": _Handler.verify,
    rf"POST /api/models/{_REPO}/commit/(?P<revision>.+)": _Handler.commit,
}


@contextmanager
def hub_server() -> Iterator[Hub]:
    """A hub without repositories, until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
