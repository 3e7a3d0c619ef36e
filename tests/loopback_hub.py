"""A Hugging Face hub on loopback, speaking the real protocol, with faults to order.

It answers what the official client asks when it downloads a pinned file: HEAD and GET of
`/OWNER/NAME/resolve/COMMIT/FILE`, with the commit and digest headers, redirects of large files
to a second origin (the CDN, with byte ranges), and the error codes of missing repositories,
revisions and files. It takes uploads: a new repository, the question which files are large, those
by the batch protocol of Git LFS, and the commit.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_RESOLVE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>.+)")


@dataclass
class Faults:
    """What goes wrong; the default is nothing.

    Attributes:
        hang: Take requests and never answer them.
        statuses: Answer the next requests with these codes, one each.
        retry_after: Header value sent along with them.
        no_commit: Leave out the commit header.
        other_commit: Name another commit than the one asked for.
        no_etag: Leave out the digests.
        strange_etag: Send this instead of the digest.
        no_length: Leave out the length; the end of the connection ends the body.
        corrupt: Change the last bytes of the weights.
        cuts: Drop the connection in the middle of this many bodies.
        stall: Stop sending in the middle of a body, the connection staying open.
        claimed_size: Size that HEAD reports for the weights.
        slow: Seconds to wait between pieces of a body.
        piece: Bytes of such a piece.
        slow_headers: Seconds to wait between bytes of a header.
        location: Redirect large files to this address instead of the CDN's.
        cdn_status: Answer with this code at the CDN.
        cdn_headers: Headers that the CDN sends along.
        cdn_body: Send this at the CDN instead of the file.
        endless: Repeat the CDN's body for ever, without a length.
    """

    hang: bool = False
    statuses: list[int] = field(default_factory=list)
    retry_after: str = ""
    no_commit: bool = False
    other_commit: bool = False
    no_etag: bool = False
    strange_etag: str = ""
    no_length: bool = False
    corrupt: bool = False
    cuts: int = 0
    stall: bool = False
    claimed_size: int | None = None
    slow: float = 0.0
    piece: int = 1 << 16
    slow_headers: float = 0.0
    location: str = ""
    cdn_status: int = 0
    cdn_headers: dict[str, str] = field(default_factory=dict)
    cdn_body: bytes = b""
    endless: bool = False


class LoopbackHub:
    """Two servers on loopback, the hub and its CDN; a context manager.

    Attributes:
        faults: Set its fields at any time.
        requests: Every request taken, as "METHOD path", the CDN's with a "cdn" in front.
        headers: The headers of those requests.
        ranges: Values of the Range headers seen.
    """

    def __init__(self) -> None:
        self.faults = Faults()
        self.requests: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.ranges: list[str] = []
        self.released = threading.Event()
        self._files: dict[tuple[str, str, str], bytes] = {}
        self._blobs: dict[str, bytes] = {}
        self._branches: dict[tuple[str, str], str] = {}
        self._servers: list[ThreadingHTTPServer] = []

    def publish(self, repo: str, revision: str, folder: Path, branch: str = "main") -> None:
        """Offers the files of a folder as one commit of a repository, the last of a branch."""
        self._branches[repo, branch] = revision
        for path in folder.iterdir():
            self._add(repo, revision, path.name, path.read_bytes())

    def _add(self, repo: str, revision: str, name: str, content: bytes) -> None:
        self._files[repo, revision, name] = content
        self._blobs[hashlib.sha256(content).hexdigest()] = content

    def withdraw(self, repo: str, revision: str, name: str) -> None:
        del self._files[repo, revision, name]

    @property
    def url(self) -> str:
        return self._address(0)

    @property
    def cdn_url(self) -> str:
        return self._address(1)

    def n_requests(self, text: str) -> int:
        """How many requests contain this text."""
        return sum(text in request for request in self.requests)

    def __enter__(self) -> LoopbackHub:
        for _ in range(2):
            server = _Server(("127.0.0.1", 0), _Handler)
            server.hub, server.is_cdn = self, bool(self._servers)
            self._servers.append(server)
            threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.released.set()
        for server in self._servers:
            server.shutdown()
            server.server_close()

    def _address(self, index: int) -> str:
        return f"http://127.0.0.1:{self._servers[index].server_address[1]}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    hub: LoopbackHub
    is_cdn: bool

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Requests are kept in `LoopbackHub.requests` instead."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        hub = self.server.hub
        where = "cdn " if self.server.is_cdn else ""
        hub.requests.append(f"{where}{self.command} {self.path}")
        hub.headers.append(dict(self.headers))
        if hub.faults.hang:
            hub.released.wait(30)
            self.close_connection = True
        elif hub.faults.statuses:
            extra = {"Retry-After": hub.faults.retry_after} if hub.faults.retry_after else {}
            self._refuse(hub.faults.statuses.pop(0), "", extra)
        elif self.server.is_cdn and (hub.faults.cdn_status or hub.faults.cdn_body):
            headers = dict(hub.faults.cdn_headers)
            self._send(hub.faults.cdn_status or 200, hub.faults.cdn_body, headers)
        elif self.server.is_cdn:
            self._send_bytes(hub._blobs[self.path.lstrip("/")], {})
        else:
            self._resolve(hub)

    def _resolve(self, hub: LoopbackHub) -> None:
        match = _RESOLVE.fullmatch(self.path)
        if match is None or not any(match["repo"] == repo for repo, _, _ in hub._files):
            self._refuse(404, "RepoNotFound")
            return
        repo, revision, name = match["repo"], match["revision"], match["name"]
        commit = hub._branches.get((repo, revision), revision)
        if not any((repo, commit) == key[:2] for key in hub._files):
            self._refuse(404, "RevisionNotFound")
        elif (content := hub._files.get((repo, commit, name))) is None:
            self._refuse(404, "EntryNotFound", {"X-Repo-Commit": commit})
        else:
            self._send_file(content, commit, is_large=name != "config.json")

    def do_PUT(self) -> None:
        hub = self.server.hub
        hub.requests.append(f"PUT {self.path}")
        hub._blobs[self.path.rpartition("/")[2]] = self._body()
        self._send(200, b"", {})

    def do_POST(self) -> None:
        hub = self.server.hub
        hub.requests.append(f"POST {self.path}")
        hub.headers.append(dict(self.headers))
        body = self._body()
        if self.headers.get("Authorization") != "Bearer hf_writer":
            self._refuse(401, "")
        elif self.path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}"
            self._send_json({"url": f"{hub.url}/{repo}", "name": repo})
        elif "/preupload/" in self.path:
            modes = [
                {"path": file["path"], "shouldIgnore": False, "uploadMode": _mode(file["path"])}
                for file in json.loads(body)["files"]
            ]
            self._send_json({"files": modes})
        elif self.path.endswith("/lfs/objects/batch"):
            objects = [
                {**wanted, "actions": {"upload": {"href": f"{hub.url}/lfs/{wanted['oid']}"}}}
                for wanted in json.loads(body)["objects"]
            ]
            self._send_json({"transfer": "basic", "objects": objects})
        else:
            self._commit(hub, [json.loads(line) for line in body.splitlines() if line.strip()])

    def _commit(self, hub: LoopbackHub, lines: list[dict[str, Any]]) -> None:
        repo, branch = self.path.removeprefix("/api/models/").split("/commit/")
        commit = hashlib.sha1(json.dumps(lines).encode()).hexdigest()
        for line in lines:
            if line["key"] == "file":
                content = base64.b64decode(line["value"]["content"])
            elif line["key"] == "lfsFile":
                content = hub._blobs[line["value"]["oid"]]
            else:
                continue
            hub._add(repo, commit, line["value"]["path"], content)
        hub._branches[repo, branch] = commit
        self._send_json({"commitUrl": f"{hub.url}/{repo}/commit/{commit}", "commitOid": commit})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers["Content-Length"]))

    def _send_json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send_file(self, content: bytes, revision: str, *, is_large: bool) -> None:
        faults = self.server.hub.faults
        headers = {}
        if not faults.no_commit:
            headers["X-Repo-Commit"] = "f" * 40 if faults.other_commit else revision
        digest = (
            hashlib.sha256(content)
            if is_large
            else hashlib.sha1(b"blob %d\0" % len(content) + content)
        ).hexdigest()
        etag = faults.strange_etag or digest
        if not is_large:
            if not faults.no_etag:
                headers["ETag"] = f'"{etag}"'
            self._send_bytes(content, headers)
            return
        if not faults.no_etag:
            headers["X-Linked-Etag"] = f'"{etag}"'
        if not faults.no_length:
            headers["X-Linked-Size"] = str(faults.claimed_size or len(content))
        # The other protocol of the real hub, which is not spoken here.
        headers["X-Xet-Hash"] = digest
        headers["X-Xet-Refresh-Route"] = f"{self.server.hub.url}/xet-token"
        headers["Location"] = faults.location or f"{self.server.hub._address(1)}/{digest}"
        self._send(302, b"", headers)

    def _send_bytes(self, content: bytes, headers: dict[str, str]) -> None:
        faults = self.server.hub.faults
        if faults.corrupt and self.server.is_cdn:
            content = content[:-4] + b"XXXX"
        status, start = 200, 0
        asked = self.headers.get("Range")
        if asked and (match := re.fullmatch(r"bytes=(\d+)-", asked)):
            self.server.hub.ranges.append(asked)
            status, start = 206, int(match[1])
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self._send(status, content[start:], headers)

    def _refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"error": code or "fault"}).encode()
        self._send(status, body, {**({"X-Error-Code": code} if code else {}), **(headers or {})})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        hub = self.server.hub
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        while hub.faults.slow_headers and not hub.released.wait(hub.faults.slow_headers):
            self.wfile.write(b"X-Slow: 1\r\n")
        is_endless = self.server.is_cdn and hub.faults.endless
        if is_endless or (hub.faults.no_length and status == 200):
            self.send_header("Connection", "close")
            self.close_connection = True
        else:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        while is_endless and not hub.released.is_set():
            self.wfile.write(body)
        middle = len(body) // 2
        if self.server.is_cdn and hub.faults.cuts > 0:
            hub.faults.cuts -= 1
            self.wfile.write(body[:middle])
            self.close_connection = True
        elif self.server.is_cdn and hub.faults.stall:
            self.wfile.write(body[:middle])
            self.wfile.flush()
            hub.released.wait(30)
            self.close_connection = True
        elif hub.faults.slow:
            for piece in range(0, len(body), hub.faults.piece):
                self.wfile.write(body[piece : piece + hub.faults.piece])
                self.wfile.flush()
                hub.released.wait(hub.faults.slow)
        else:
            self.wfile.write(body)


def _mode(name: str) -> str:
    return "lfs" if name.endswith(".safetensors") else "regular"
