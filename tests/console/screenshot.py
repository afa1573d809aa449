"""A picture of the page of a running platform, for the documentation.

python tests/console/screenshot.py http://127.0.0.1:8080 docs/console.png
"""

import argparse

from chromium import launch
from playwright.sync_api import Page, expect, sync_playwright

QUESTIONS = ("how much do I owe you?", "and the month before?")


def ask(page: Page, text: str) -> None:
    answers = page.locator(".lm-answer")
    before = answers.count()
    page.get_by_label("Message").fill(text)
    page.keyboard.press("Enter")
    expect(answers).to_have_count(before + 1)
    expect(page.locator(".lm-who").last).to_contain_text(" ms", timeout=60_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("output")
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--size", default="1440x900", help="width x height of the window")
    parser.add_argument("--ask", action="append", help=f"what to ask; default: {QUESTIONS}")
    chosen = parser.parse_args()
    width, height = map(int, chosen.size.split("x"))
    with sync_playwright() as playwright, launch(playwright) as browser:
        page = browser.new_page(
            viewport={"width": width, "height": height},
            color_scheme="dark" if chosen.dark else "light",
        )
        page.goto(chosen.url)
        for question in chosen.ask or QUESTIONS:
            ask(page, question)
        page.locator("summary", has_text="why").last.click()
        page.screenshot(path=chosen.output, animations="disabled")


if __name__ == "__main__":
    main()
