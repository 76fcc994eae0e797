"""A small hub on this machine, with what huggingface_hub's client asks of one: a model's files at a commit, their
hashes, ranges, and connections that break off."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import SHUT_RDWR
from threading import Thread
from urllib.parse import urlparse

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """One repository. `cuts`: how often the sending of a path breaks off half way; `requests`: what was asked for."""

    files: dict[str, bytes]
    repository: str = "owner/name"
    licence: str | None = "cc-by-nc-sa-4.0"
    large: frozenset[str] = frozenset()  # kept under their SHA-256
    gated: bool = False
    cuts: dict[str, int] = field(default_factory=dict)
    sent: dict[str, bytes] = field(default_factory=dict)  # what is sent in place of a file
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)  # method, path, range
    url: str = ""

    def ranges(self, path: str) -> list[str | None]:
        """The ranges that were asked for of a file, None for the whole."""
        return [asked for method, where, asked in self.requests if method == "GET" and where.endswith("/" + path)]

    def model_info(self) -> dict[str, object]:
        """The answer of /api/models/OWNER/NAME/revision/REVISION."""
        siblings = []
        for path, content in self.files.items():
            one: dict[str, object] = {"rfilename": path, "size": len(content), "blobId": blob_sha1(content)}
            if path in self.large:
                one["lfs"] = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 130}
            siblings.append(one)
        card = {"cardData": {"license": self.licence}} if self.licence else {}
        return {"id": self.repository, "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0, **card}


def blob_sha1(content: bytes) -> str:
    """The name that git gives a file."""
    return hashlib.sha1(f"blob {len(content)}\0".encode() + content, usedforsecurity=False).hexdigest()


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """Serve `hub` on a free port of this machine."""
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def do_GET(self) -> None:
            self._answer(body=True)

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

        def _answer(self, body: bool) -> None:
            path = urlparse(self.path).path
            hub.requests.append((self.command, path, self.headers.get("Range")))
            if match := re.fullmatch(f"/api/models/{hub.repository}/revision/(.+)", path):
                if hub.gated:
                    self._send(403, b"{}", {"X-Error-Code": "GatedRepo"}, body)
                elif match[1] not in ("main", COMMIT):
                    self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
                else:
                    self._send(200, json.dumps(hub.model_info()).encode(), {"Content-Type": "application/json"}, body)
            elif (match := re.fullmatch(f"/{hub.repository}/resolve/{COMMIT}/(.+)", path)) and match[1] in hub.files:
                self._file(match[1], body)
            else:
                self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"}, body)

        def _file(self, path: str, body: bool) -> None:
            content = hub.sent.get(path, hub.files[path])
            tag = hashlib.sha256(hub.files[path]).hexdigest() if path in hub.large else blob_sha1(hub.files[path])
            headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{tag}"', "Accept-Ranges": "bytes"}
            asked, status = self.headers.get("Range"), 200
            if asked:
                start = int(asked.removeprefix("bytes=").split("-")[0])
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
                content, status = content[start:], 206
            cut = body and hub.cuts.get(path, 0) > 0
            if cut:
                hub.cuts[path] -= 1
            self._send(status, content, headers, body, cut)

        def _send(self, status: int, content: bytes, headers: dict[str, str], body: bool, cut: bool = False) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content[: len(content) // 2] if cut else content)
            if cut:
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(SHUT_RDWR)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
