"""Drives Debian's Chromium over its DevTools protocol: a page from a file, real clicks, and what it complains of."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
from websockets.sync.client import ClientConnection, connect

__all__ = ["Browser", "Tab", "chromium"]

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--disable-extensions", "--disable-default-apps", "--force-color-profile=srgb", "--remote-debugging-port=0"),
    # No name is ever looked up and no proxy asked: whatever a page wants from elsewhere fails, and is seen.
    *("--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1", "--no-proxy-server"),
)
KEYS = {"Escape": 27, "ArrowLeft": 37, "ArrowRight": 39}
"""Keys that can be pressed, by their numbers."""
PATIENCE = 60.0
"""Seconds until a step counts as failed."""


def chromium() -> Path:
    """The browser; without one the test is skipped, but on a CI machine it fails."""
    found = shutil.which("chromium")
    if found is None:
        told = "there is no `chromium` on PATH; on Debian: apt-get install chromium"
        if "CI" in os.environ:
            pytest.fail(told)
        pytest.skip(told)
    return Path(found)


class Browser:
    """A browser process with a profile of its own, which ends with the block."""

    def __init__(self, program: Path, profile: Path) -> None:
        self._program, self._profile = program, profile
        self._last = 0
        self._tabs: dict[str, Tab] = {}
        self._open = ExitStack()
        """What is closed again in the end, the last first."""

    def __enter__(self) -> Self:
        command = [str(self._program), *FLAGS, f"--user-data-dir={self._profile}", "about:blank"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._open.callback(self._end)
        try:
            port, path = self._address()
            door = connect(  # no pings: they draw from the random state that hypothesis watches
                f"ws://127.0.0.1:{port}{path}", proxy=None, max_size=None, compression=None, ping_interval=None
            )
            self._socket = self._open.enter_context(door)
        except BaseException:
            self._open.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def open(self, url: str, *, width: int = 1280, height: int = 900, dark: bool = False) -> Tab:
        """A page, loaded, in a window of this size."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session: str = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = self._tabs[session] = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        phone = width < 700
        tab.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        tab.call("Emulation.setEmulatedMedia", features=[scheme, {"name": "prefers-reduced-motion", "value": "reduce"}])
        tab.call("Page.navigate", url=url)
        tab.until("document.readyState === 'complete' && location.href !== 'about:blank'")
        return tab

    def call(self, method: str, session: str | None = None, **params: object) -> dict[str, Any]:
        """What the browser answers; what it says meanwhile is handed to its tabs."""
        self._last += 1
        number = self._last
        place = {"sessionId": session} if session else {}
        self._socket.send(json.dumps({"id": number, "method": method, "params": params, **place}))
        while True:
            said: dict[str, Any] = json.loads(self._socket.recv(timeout=PATIENCE))
            if said.get("id") == number:
                assert "error" not in said, (method, said["error"])
                return said["result"]
            tab = self._tabs.get(said.get("sessionId", ""))
            if tab is not None and "method" in said:
                tab.hear(said["method"], said["params"])

    def _address(self) -> tuple[str, str]:
        file, end = self._profile / "DevToolsActivePort", time.monotonic() + PATIENCE
        while time.monotonic() < end:
            lines = file.read_text().splitlines() if file.exists() else []
            if len(lines) == 2:
                return lines[0], lines[1]
            assert self._process.poll() is None, "chromium ended at once"
            time.sleep(0.02)
        raise TimeoutError("chromium opened no door")

    def _end(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    _process: subprocess.Popen[bytes]
    _socket: ClientConnection


@dataclass(slots=True)
class Tab:
    """One page, what it asked the network for, and what it complained of."""

    browser: Browser
    session: str
    requests: list[str] = field(default_factory=list[str])
    complaints: list[str] = field(default_factory=list[str])

    def call(self, method: str, **params: object) -> dict[str, Any]:
        """A command to this page."""
        return self.browser.call(method, self.session, **params)

    def hear(self, method: str, params: dict[str, Any]) -> None:
        """Keep requests, exceptions, and every word of the console."""
        match method:
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled":
                self.complaints.append(json.dumps(params["args"]))
            case "Log.entryAdded":
                self.complaints.append(params["entry"]["text"])
            case _:
                pass

    def js(self, expression: str) -> Any:  # noqa: ANN401 - whatever the page has
        """The value of an expression in the page; a promise is waited for."""
        found = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression holds."""
        end = time.monotonic() + PATIENCE
        while not self.js(expression):
            assert time.monotonic() < end, f"never came to hold: {expression}"
            time.sleep(0.02)

    def click(self, selector: str) -> None:
        """Press and release the mouse in the middle of the first such element."""
        where = f"document.querySelector({json.dumps(selector)})"
        x, y = self.js(
            f"(() => {{ const e = {where}; e.scrollIntoView({{block: 'center', behavior: 'instant'}});"
            " const r = e.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = "none" if kind == "mouseMoved" else "left"
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button=button, clickCount=1)

    def write(self, selector: str, text: str) -> None:
        """Type into a field, from the keyboard's side."""
        self.js(f"document.querySelector({json.dumps(selector)}).focus()")
        self.call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press a key that writes nothing."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key])

    def shot(self, path: Path, *, whole: bool = True) -> None:
        """A picture of the page, or of the window."""
        found = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
