"""A server on this machine that answers the few requests by which huggingface_hub reads and writes a repository."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class ToyHub:
    """Repositories by name: branches with the commit of each, and commits with their files.

    Args:
        token: that a writer must bring; "" asks for none.
        broken: status with which everything is answered; 0 answers as it should.
        asked: (method, path) of each request.
    """

    token: str = ""
    broken: int = 0
    address: str = ""
    branches: dict[str, dict[str, str]] = field(default_factory=dict)
    commits: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)
    asked: list[tuple[str, str]] = field(default_factory=list)

    def put(self, name: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Makes a commit, with the files of the one before."""
        before = self.commits.get(name, {}).get(self.branches.get(name, {}).get(branch, ""), {})
        files = {**before, **files}
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits.setdefault(name, {})[commit] = files
        self.branches.setdefault(name, {})[branch] = commit
        return commit

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        return self.commits[name][self.branches[name][branch]]


@contextmanager
def serving_hub(**options) -> Iterator[ToyHub]:
    """A hub until the block ends."""
    toy = ToyHub(**options)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def answer(self, status: int, body: bytes = b"", **headers: str):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", headers.pop("length", str(len(body))))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def body(self) -> bytes:
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def allowed(self) -> bool:
            return not toy.token or self.headers.get("Authorization") == f"Bearer {toy.token}"

        def do_HEAD(self):
            self.do_GET()

        def do_GET(self):
            toy.asked.append((self.command, self.path))
            if toy.broken:
                return self.answer(toy.broken)
            found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.path.split("?")[0])
            if not found:
                return self.answer(404, X_Error_Code="EntryNotFound")
            name, revision, file = found.groups()
            if name not in toy.commits:
                return self.answer(404, X_Error_Code="RepoNotFound")
            commit = toy.branches[name].get(revision, revision)
            if commit not in toy.commits[name]:
                return self.answer(404, X_Error_Code="RevisionNotFound")
            content = toy.commits[name][commit].get(file)
            if content is None:
                return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=commit)
            tag = f'"{hashlib.sha1(content).hexdigest()}"'
            return self.answer(200, content, X_Repo_Commit=commit, ETag=tag)

        def do_POST(self):
            toy.asked.append((self.command, self.path))
            body = self.body()
            if toy.broken:
                return self.answer(toy.broken)
            if not self.allowed():
                return self.answer(
                    401, b'{"error": "no"}', X_Error_Message="Invalid credentials in Authorization header"
                )
            if self.path == "/api/repos/create":
                asked = json.loads(body)
                name = "/".join(filter(None, (asked.get("organization"), asked["name"])))
                if name in toy.commits:
                    return self.answer(409, json.dumps({"url": f"{toy.address}/{name}"}).encode())
                toy.put(name, {})
                return self.answer(200, json.dumps({"url": f"{toy.address}/{name}"}).encode())
            if self.path == "/api/validate-yaml":
                return self.answer(200, b'{"errors": [], "warnings": []}')
            found = re.fullmatch(
                r"/api/models/([^/]+/[^/]+)/(preupload|commit|branch)/([^/?]+)", self.path.split("?")[0]
            )
            if not found:
                return self.answer(404)
            name, deed, revision = found.groups()
            if deed == "branch":
                toy.put(name, toy.files(name), revision)
                return self.answer(200, b"{}")
            if deed == "preupload":
                files = [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                         for one in json.loads(body)["files"]]  # fmt: skip
                return self.answer(200, json.dumps({"files": files}).encode())
            rows = [json.loads(line) for line in body.splitlines() if line]
            files = {
                row["value"]["path"]: base64.b64decode(row["value"]["content"]) for row in rows if row["key"] == "file"
            }
            commit = toy.put(name, files, revision)
            said = {"commitUrl": f"{toy.address}/{name}/commit/{commit}", "commitOid": commit, "success": True}
            return self.answer(200, json.dumps(said).encode())

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        toy.address = f"http://127.0.0.1:{running.server_port}"
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, daemon=True).start()
        try:
            yield toy
        finally:
            running.shutdown()
