"""Chromium, driven over the DevTools protocol through a pipe, for tests of pages: nothing but the standard library."""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--use-gl=angle",
         "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars", "--no-first-run",
         "--disable-dev-shm-usage")  # fmt: skip


def executable() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


needs_chromium = pytest.mark.skipif(executable() is None, reason="needs chromium: apt-get install chromium")


class Browser:
    """One tab of a headless browser; pages draw in software."""

    def __init__(self, profile: Path):
        to_read, write = os.pipe()
        read, to_write = os.pipe()

        def three_and_four() -> None:  # the ends that Chromium expects
            far = [fcntl.fcntl(end, fcntl.F_DUPFD, 100) for end in (to_read, to_write)]
            os.dup2(far[0], 3)
            os.dup2(far[1], 4)

        command = [executable(), *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-pipe", "about:blank"]
        self.process = subprocess.Popen(
            command, preexec_fn=three_and_four, close_fds=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        os.close(to_read)
        os.close(to_write)
        self._write, self._read, self._count, self._rest = write, read, 0, b""
        self.events: list[dict[str, Any]] = []
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self._call("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.do(f"{domain}.enable")

    def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._call(method, self._session, **parameters)

    def _call(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        content = json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0"
        while content:
            content = content[os.write(self._write, content) :]
        while True:
            answer = self._next(60)
            if answer.get("id") == self._count:
                assert "error" not in answer, answer
                return answer["result"]
            self.events.append(answer)

    def _next(self, seconds: float) -> dict[str, Any]:
        until = time.monotonic() + seconds
        while b"\0" not in self._rest:
            left = until - time.monotonic()
            answers = left > 0 and bool(select.select([self._read], [], [], left)[0])
            assert answers, "chromium does not answer"
            more = os.read(self._read, 1 << 20)
            assert more, "chromium ended"
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)

    def js(self, expression: str) -> Any:
        """The value of an expression on the page; a promise is awaited."""
        found = self.do("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def resize(self, width: int, height: int, ratio: float = 1, mobile: bool = False) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": mobile}
        self.do("Emulation.setDeviceMetricsOverride", **size)

    def open(self, path: Path, hash_: str = "", ready: str = "document.documentElement?.dataset.ready") -> None:
        """Opens a file afresh and waits until the page says that it is ready."""
        self.do("Page.navigate", url="about:blank")
        self.events.clear()
        self.do("Page.navigate", url=f"{Path(path).absolute().as_uri()}{hash_}")
        self.until(ready)

    def until(self, condition: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.js(f"Boolean({condition})"):
                return
            time.sleep(0.03)
        raise AssertionError(f"never came true: {condition}; {self.complaints()}")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def key(self, key: str) -> None:
        text = {"text": key} if len(key) == 1 else {}
        self.do("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.do("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self) -> np.ndarray:
        """(height, width, 3) uint8 of the window."""
        data = self.do("Page.captureScreenshot", format="png")["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, exceptions, and what the security policy stopped."""
        self.js("0")
        found = [str(event["params"]) for event in self.events if event["method"] == "Runtime.exceptionThrown"]
        for event in self.events:
            if event["method"] == "Runtime.consoleAPICalled" and event["params"]["type"] in ("error", "warning"):
                found.append(str(event["params"]["args"]))
            entry = event["params"].get("entry", {}) if event["method"] == "Log.entryAdded" else {}
            if entry and entry["source"] != "rendering":  # remarks of the driver on readings of pixels
                found.append(entry["text"])
        return found

    def requests(self) -> list[str]:
        """Addresses that the page asked for, other than its own file and what it holds itself."""
        self.js("0")
        asked = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in asked[1:] if not url.startswith(("data:", "blob:"))]

    def close(self) -> None:
        os.close(self._write)
        os.close(self._read)
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
