"""The page in a headless Chromium, from disk: for pictures of it, for tests and for its benchmark."""

import contextlib
import os
import shutil
from pathlib import Path

from common.errors import InputError

NAMES = ("chromium", "chromium-browser", "google-chrome")
MILLISECONDS = 60_000  # for the weights to be unpacked, on a busy machine
SIZE = {"width": 1280, "height": 900}


def path():
    """The program.

    Raises:
        InputError: there is none on this machine.
    """
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise InputError("there is no Chromium on this machine: install it (Debian: apt-get install chromium)")
    return found


@contextlib.contextmanager
def chromium():
    """A browser, as playwright has it."""
    from playwright.sync_api import sync_playwright

    # Chromium's sandbox does not start for root, whom containers know alone.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path(), args=options)
        try:
            yield browser
        finally:
            browser.close()


def open_page(context, file):
    """A tab of a browser or context with the page in a file, once it is ready."""
    tab = context.new_page()
    tab.goto(Path(file).resolve().as_uri())
    tab.wait_for_selector("body[data-state=ready]", timeout=MILLISECONDS)
    return tab


def screenshot(file, picture):
    """Write the first screen of the page in a file as PNG."""
    with chromium() as browser:
        tab = open_page(browser.new_context(viewport=SIZE, color_scheme="light"), file)
        Path(picture).write_bytes(tab.screenshot())
