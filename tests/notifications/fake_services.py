"""Where the network ends in tests: chat services on this machine that keep what they were sent."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class FakeService:
    """Answers every post with ``status`` and what ``answers`` makes of it."""

    status: int = 200
    posts: list[tuple[str, Any]] = field(default_factory=list)
    updates: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def answer(self, path: str, body: Any) -> Any:
        self.posts.append((path, body))
        if path.endswith("/getUpdates"):
            return {
                "ok": True,
                "result": [u for u in self.updates if u["update_id"] >= body["offset"]],
            }
        return {"ok": True, "result": {}}

    def said(self) -> list[str]:
        """Return the texts that Telegram's users would read, oldest first."""
        return [body["text"] for path, body in self.posts if path.endswith("/sendMessage")]

    def write(self, text: str, *, chat: int = 42, at_s: float, sender: int | None = None) -> None:
        """Put a message to the bot in the queue, as Telegram would give it."""
        kind = "private" if sender in (None, chat) else "group"
        message = {
            "chat": {"id": chat, "type": kind},
            "from": {"id": chat if sender is None else sender},
            "date": int(at_s),
            "text": text,
        }
        self.updates.append({"update_id": len(self.updates) + 1, "message": message})


@contextmanager
def fake_service(**given: Any) -> Iterator[FakeService]:
    service = FakeService(**given)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            answer = json.dumps(service.answer(self.path, json.loads(raw or b"null"))).encode()
            self.send_response(service.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *args: Any) -> None:
            """Tests print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
