"""A small stand-in for the Hugging Face Hub: repositories in memory, behind the paths that huggingface_hub calls."""

import base64
import contextlib
import hashlib
import http.server
import json
import threading

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Quiet."""

    def _answer(self, content=b"", status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _json(self, value, status=200):
        self._answer(json.dumps(value).encode(), status, Content_Type="application/json")

    def do_GET(self):  # noqa: N802  (the name that http.server asks for)
        self.server.asked.append(f"{self.command} {self.path}")
        name, _, file = self.path.lstrip("/").partition("/resolve/")
        content = self.server.repositories.get(name, {}).get(file.partition("/")[2])
        if "/api/models/" in self.path:
            return self._json({"id": "someone/cars", "sha": COMMIT, "siblings": []})
        if content is None:
            return self._answer(b"", 404, X_Error_Code="EntryNotFound", X_Error_Message="there is no such file")
        etag = hashlib.sha1(content).hexdigest()
        return self._answer(content, ETag=f'"{etag}"', X_Repo_Commit=COMMIT)

    do_HEAD = do_GET

    def do_POST(self):  # noqa: N802
        self.server.asked.append(f"POST {self.path}")
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Authorization") != "Bearer secret":
            return self._answer(b"", 401, X_Error_Message="a token is needed")
        if self.path.endswith("/repos/create"):
            given = json.loads(body)
            name = f"{given['organization']}/{given['name']}"
            if given["organization"] == "forbidden":
                return self._answer(b"", 403, X_Error_Message="not yours")
            self.server.repositories.setdefault(name, {})
            return self._json({"url": f"{self.server.address}/{name}", "id": name})
        if self.path.endswith("/validate-yaml"):
            return self._json({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self._json({"files": files})
        name = self.path.removeprefix("/api/models/").partition("/commit/")[0]
        for line in body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                value = entry["value"]
                self.server.repositories[name][value["path"]] = base64.b64decode(value["content"])
        return self._json({"commitUrl": f"{self.server.address}/{name}/commit/{COMMIT}", "commitOid": COMMIT})


@contextlib.contextmanager
def hub_server():
    """The running server: ``address``, ``repositories`` {name: {file: bytes}} and ``asked``, a list of requests."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.repositories, server.asked = {}, []
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
