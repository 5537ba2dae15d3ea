"""Headless Chromium through the pipe of its DevTools protocol: no driver, no other package."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def executable() -> str | None:
    """A browser on this machine, if there is one."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Browser:
    """One page of a running browser.

    Attributes:
        requests: addresses that pages asked for.
        problems: what pages wrote to their console as errors, or threw.
    """

    def __init__(self, write: int, read: int) -> None:
        self._out = os.fdopen(write, "wb", buffering=0)
        self._in = os.fdopen(read, "rb")
        self._last = 0
        self._session = ""
        self.requests: list[str] = []
        self.problems: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Calls a method of the protocol and waits for its answer."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        self._out.write(json.dumps(message).encode() + b"\0")
        return self._until(self._last)

    def _until(self, wanted: int | str) -> dict[str, Any]:
        while True:
            message = json.loads(self._message())
            method, params = message.get("method"), message.get("params", {})
            if method == "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            elif method == "Runtime.exceptionThrown":
                self.problems.append(json.dumps(params["exceptionDetails"])[:500])
            elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
                self.problems.append(params["entry"]["text"])
            if method == wanted:
                return params  # type: ignore[no-any-return]
            if message.get("id") == wanted:
                assert "error" not in message, message
                return message["result"]  # type: ignore[no-any-return]

    def _message(self) -> bytes:
        parts = []
        while (byte := self._in.read(1)) != b"\0":
            assert byte, "the browser has ended"
            parts.append(byte)
        return b"".join(parts)

    def open(self, path: Path, *, view: str = "", width: int = 1200, dark: bool = False) -> None:
        """Opens a file in a window of a width, in light or dark."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=800,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = "dark" if dark else "light"
        self.call(
            "Emulation.setEmulatedMedia",
            features=[{"name": "prefers-color-scheme", "value": scheme}],
        )
        # Another query each time: with the same address nothing would be loaded again.
        self.call("Page.navigate", url=f"{path.as_uri()}?{self._last}{view}")
        self._until("Page.loadEventFired")

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script: str, *, seconds: float = 10.0) -> Any:
        """The value of an expression once it is true; events of the page come a little later."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"not true after {seconds} s: {script}"
            time.sleep(0.02)
        return value

    def type(self, selector: str, text: str) -> None:
        """Types into a field that is emptied before."""
        self.run(f"document.querySelector({selector!r}).focus()")
        self.run(f"document.querySelector({selector!r}).select()")
        if text:
            self.call("Input.insertText", text=text)
        else:
            for kind in ("keyDown", "keyUp"):
                self.call(
                    "Input.dispatchKeyEvent", type=kind, key="Delete", windowsVirtualKeyCode=46
                )

    def click(self, script: str) -> None:
        """Clicks with the mouse at the middle of the element that an expression gives."""
        self.run(f"({script}).scrollIntoView({{block: 'center'}})")
        x, y = self.run(
            f"(() => {{ const b = ({script}).getBoundingClientRect();"
            " return [b.x + b.width / 2, b.y + b.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def screenshot(self, path: Path) -> None:
        """Writes a PNG of what is visible."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


def contrast(selector: str) -> str:
    """The contrast of an element's text to what lies behind it, as an expression."""
    return f"""(() => {{
        const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
        const light = (colour) => parts(colour).slice(0, 3).map((c) => c / 255)
            .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
            .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0.05);
        const element = document.querySelector({selector!r});
        let back = element;
        while (parts(getComputedStyle(back).backgroundColor)[3] === 0) back = back.parentElement;
        const both = [light(getComputedStyle(element).color),
            light(getComputedStyle(back).backgroundColor)];
        return Math.max(...both) / Math.min(...both);
    }})()"""


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A running browser with a profile of its own."""
    path = executable()
    assert path is not None
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    arguments = [
        path,
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        f"--user-data-dir={profile}",
        "--remote-debugging-pipe",
    ]
    # The browser reads from its file descriptor 3 and writes to 4, so a shell lays them there.
    command = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    process = subprocess.Popen(
        ["bash", "-c", command, "bash", *arguments],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    try:
        yield Browser(ours_out, ours_in)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for the tests of a module."""
    with browser(tmp_path_factory.mktemp("profile")) as running:
        yield running
