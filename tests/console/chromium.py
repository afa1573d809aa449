"""A headless Chromium that asks nobody for anything of its own accord."""

import shutil

from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
EXECUTABLE = next(filter(None, map(shutil.which, NAMES)), None)
ARGUMENTS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync"
    " --disable-background-networking --disable-component-update"
)


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(
        executable_path=EXECUTABLE, args=ARGUMENTS.split(), headless=True
    )
