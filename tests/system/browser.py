"""A real browser that records requests and errors."""

import contextlib
import shutil

from playwright.sync_api import sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # External requests fail, but are recorded.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
]


@contextlib.contextmanager
def running():
    assert CHROMIUM, f"There is none of {', '.join(NAMES)} on PATH: on Debian, apt-get install chromium."
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


class Visit:
    """A page, with the requests and the errors of the browser so far."""

    def __init__(self, context):
        self.requests = []
        self.complaints = []
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("console", self._on_console)
        self.page = context.new_page()
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))

    def _on_console(self, message):
        if message.type in ("error", "warning"):  # violations of the Content-Security-Policy are errors
            self.complaints.append(message.text)
