"""The server of these tests, a browser, and the page opened in it."""

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from chromium import EXECUTABLE, launch
from playwright.sync_api import Browser, Page, sync_playwright
from stage import Console


@pytest.fixture(scope="module")
def server() -> Iterator[Console]:
    """NiceGUI keeps its pages in the process, so one file of tests has it, and only one."""
    with Console() as running:
        yield running


@pytest.fixture
def console(server: Console) -> Console:
    """The server, with the same resources before every test."""
    server.reset()
    return server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if EXECUTABLE is None:
        pytest.skip("there is no Chromium on this machine; install the package chromium")
    with sync_playwright() as playwright, launch(playwright) as launched:
        yield launched


@pytest.fixture
def page(console: Console, browser: Browser) -> Iterator[Page]:
    """The page, opened. It asks nobody else for anything, and has nothing to complain of."""
    asked: set[str] = set()
    complaints: list[str] = []
    opened = browser.new_page(viewport={"width": 1440, "height": 900})
    opened.on("request", lambda r: asked.add(urlsplit(r.url).hostname or r.url[:40]))
    opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    opened.on("pageerror", lambda e: complaints.append(str(e)))
    opened.goto(console.url)
    opened.get_by_label("Message").wait_for()
    yield opened
    opened.close()
    assert {host for host in asked if not host.startswith("data:")} == {"127.0.0.1"}
    assert complaints == []
