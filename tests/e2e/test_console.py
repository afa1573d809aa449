"""The page of a real platform in a real browser. `CONSOLE_SCREENSHOT=FILE` keeps a picture."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect, sync_playwright

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)  # fmt: skip  # noqa: E501
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    " --disable-background-networking --disable-component-update"
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium on this machine"),
]


@pytest.fixture
def page(acme: Any) -> Iterator[Page]:
    """The page, opened. It asks nobody else for anything, and has nothing to complain of."""
    asked: set[str] = set()
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=BROWSER, args=ARGUMENTS.split(), headless=True
        )
        opened = browser.new_page(viewport={"width": 1440, "height": 900})
        opened.on("request", lambda r: asked.add(urlsplit(r.url).hostname or ""))
        opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        opened.on("pageerror", lambda e: complaints.append(str(e)))
        opened.goto(acme.url)
        yield opened
        browser.close()
    assert asked == {"127.0.0.1"}
    assert complaints == []


def say(page: Page, text: str) -> None:
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")


def test_chat_names_the_agent_and_tells_why(page: Page) -> None:
    say(page, "how much do I owe you?")
    answers = page.locator("[data-role=answer]")
    expect(answers.last).to_contain_text("Your latest bill is 42.50 EUR, due on 1 December 2026.")
    expect(page.locator(".lm-who").last).to_contain_text("billing-agent")
    expect(page.locator(".lm-who").last).to_contain_text("view_bill")
    say(page, "and the month before?")
    expect(answers.last).to_contain_text("37.95 EUR")
    expect(page.get_by_label("Message")).to_be_focused()
    page.locator("summary", has_text="why").last.click()
    why = page.locator(".lm-decision[open]")
    expect(why).to_contain_text("continues the conversation with billing-agent")
    expect(why).to_contain_text("view_bill")
    if path := os.environ.get("CONSOLE_SCREENSHOT"):
        page.screenshot(path=path)


def test_agents_and_channels_with_their_reasons(page: Page) -> None:
    expect(page.locator(".lm-row", has_text="billing-agent").first).to_contain_text("ready")
    page.locator("summary", has_text="billing-agent").click()
    expect(page.locator(".lm-row[open]")).to_contain_text("view-bill")
    expect(page.locator(".lm-row[open]")).to_contain_text("acme/web")
    page.get_by_role("tab", name="Channels").click()
    page.locator("summary", has_text="acme/ivr").click()
    expect(page.locator(".lm-row[open]:visible")).to_contain_text(
        "no agent of tenant acme provides change-tariff >=2; nearest: contract-agent 1.0.3"
    )


def test_changes_and_events_appear_by_themselves(page: Page, acme: Any) -> None:
    page.get_by_role("tab", name="Channels").click()
    expect(page.locator(".lm-row:visible", has_text="acme/fax")).to_have_count(0)
    web = (acme.directory / "channels" / "acme-mobile.yaml").read_text()
    fax = web.replace("mobile", "fax").replace("no-fax-network", "no-mobile-network")
    (acme.directory / "channels" / "acme-fax.yaml").write_text(fax)
    row = page.locator(".lm-row:visible", has_text="acme/fax")
    expect(row).to_contain_text("unresolved (0 of 11)", timeout=10_000)
    page.get_by_role("tab", name="Events").click()
    expect(page.locator(".lm-row:visible", has_text="ChannelUnresolved").first).to_be_visible()
    Path(acme.directory / "channels" / "acme-fax.yaml").unlink()


def test_what_is_shown_is_never_markup(page: Page) -> None:
    say(page, "<img src=x onerror=alert(1)>")
    expect(page.locator(".lm-user").last).to_have_text("<img src=x onerror=alert(1)>")
    expect(page.locator(".lm-talk img")).to_have_count(0)


def test_it_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    say(page, "where is my parcel?")
    expect(page.locator("[data-role=answer]").last).to_contain_text("Nova 5")
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= 390
