"""A browser, and the pages on an address of this machine for it to visit."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from flask.testing import FlaskClient
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright
from werkzeug.serving import make_server

from serving.app import create_app
from serving.settings import PredictorSettings

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The system's Chromium, for a file's tests: while it is open an event loop runs, which Prefect minds."""
    if not CHROMIUM.exists():
        pytest.skip("no /usr/bin/chromium (apt-get install chromium)")
    expect.set_options(timeout=30_000)  # milliseconds, on a busy machine
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@contextmanager
def at_an_address(settings: PredictorSettings) -> Iterator[str]:
    """Serve the application in this process until the block ends."""
    server = make_server("127.0.0.1", 0, create_app(settings), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="session")
def address(synced: PredictorSettings) -> Iterator[str]:
    """Where the pages of the session's model are."""
    with at_an_address(synced) as address:
        yield address


@pytest.fixture(scope="module")
def contexts(browser: Browser) -> Iterator[dict[str, BrowserContext]]:
    """The browser's profiles, one for each set of options that a file's tests ask for."""
    found: dict[str, BrowserContext] = {}
    yield found
    for context in found.values():
        context.close()


@pytest.fixture
def visit(
    browser: Browser, contexts: dict[str, BrowserContext], address: str
) -> Iterator[Callable[..., Page]]:
    """Open a path in a new window; at the end nothing may have gone wrong in it, nor left this machine.

    `fresh`: in a profile of its own, that has visited nothing.
    """
    pages, wrong = [], []

    def open_page(path: str, *, at: str = "", fresh: bool = False, **options: Any) -> Page:
        options = {"viewport": {"width": 1280, "height": 900}, **options}
        key = f"{len(contexts)}" if fresh else str(options)
        if key not in contexts:
            contexts[key] = browser.new_context(**options)
        page = contexts[key].new_page()
        pages.append(page)
        page.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("request", lambda asked: wrong.append(asked.url) if "//127.0.0.1:" not in asked.url else None)
        page.goto((at or address) + path)
        return page

    yield open_page
    for page in pages:
        page.close()
    foreseen = tuple(f"status of {status}" for status in (400, 401, 422, 503))
    assert [said for said in wrong if not any(one in said for one in foreseen)] == []


@pytest.fixture
def violations() -> Callable[[Page], list[str]]:
    """Say what axe finds wrong in a page."""

    def find(page: Page) -> list[str]:
        found = Axe().run(page).response["violations"]
        return [f"{one['id']}: {[node['html'][:120] for node in one['nodes'][:3]]}" for one in found]

    return find


@pytest.fixture
def spooled(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What the client's predictor writes down."""
    entries: list[dict[str, Any]] = []
    monkeypatch.setattr(client.application.extensions["spool"], "append", entries.extend)
    return entries
