"""The report's page in a real browser: it shows, folds and filters."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from lmos.cli import lmos

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)  # fmt: skip  # noqa: E501
AGENT = """from lmos import Agent
agent = Agent(name="tiny", model="direct", use_cases='''
### UseCase: hello
#### Description
Somebody says hello.
#### Solution
"Hello to you."
#### Examples
- hello
''')
"""
TESTS = """### Test: good
> hello
- says: Hello
### Test: bad
> hello
> / hello there
- says: Goodbye
"""


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_the_page_shows_folds_and_filters(tmp_path: Path) -> None:
    from playwright.sync_api import expect, sync_playwright

    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "a.test.md").write_text(TESTS)
    report = tmp_path / "report.html"
    CliRunner().invoke(lmos, ["adl", "test", str(tmp_path), "--to", str(report)])
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        opened = browser.new_page(viewport={"width": 400, "height": 800})
        asked: list[str] = []
        opened.on("request", lambda request: asked.append(request.url))
        opened.goto(report.as_uri())
        good, bad = opened.locator("details.test").nth(0), opened.locator("details.test").nth(1)
        expect(good).not_to_have_attribute("open", "")
        expect(bad.locator(".variant")).to_have_count(2)
        expect(bad.locator("td.mark").first).to_have_text("0")
        expect(good.locator(".answer")).to_be_hidden()
        good.locator("summary").click()
        expect(good.locator(".answer")).to_have_text("Hello to you.")
        opened.get_by_role("button", name="failed 1").click()
        expect(good).to_be_hidden()
        expect(bad).to_be_visible()
        wide = opened.evaluate("document.documentElement.scrollWidth")
        assert wide <= 400
        assert asked == [report.as_uri()]
        browser.close()
