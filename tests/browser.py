"""Browsers that tests of pages drive, with nothing but the standard library.

Chromium answers its DevTools protocol through a pipe, Firefox its Marionette protocol on a socket. Firefox has no WebGL
where it is headless, so it draws on the display of an Xvfb.
"""

from __future__ import annotations

import base64
import fcntl
import io
import json
import os
import re
import select
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIREFOX = ("firefox-esr", "firefox")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--use-gl=angle",
         "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--hide-scrollbars", "--no-first-run",
         "--disable-dev-shm-usage")  # fmt: skip


def executable(names: tuple[str, ...] = NAMES) -> str | None:
    return next(filter(None, map(shutil.which, names)), None)


needs_chromium = pytest.mark.skipif(executable() is None, reason="needs chromium: apt-get install chromium")
needs_firefox = pytest.mark.skipif(
    not (executable(FIREFOX) and shutil.which("Xvfb")),
    reason="needs Firefox and Xvfb: apt-get install firefox-esr xvfb",
)


class Tab:
    """What tests do in one tab of a browser, whichever it is; pages draw in software."""

    process: subprocess.Popen

    def js(self, expression: str) -> Any:
        """The value of an expression on the page; a promise is awaited."""
        raise NotImplementedError

    def until(self, condition: str, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.js(f"Boolean({condition})"):
                return
            time.sleep(0.03)
        raise AssertionError(f"never came true: {condition}; {self.complaints()}")

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, exceptions, and what the security policy stopped."""
        raise NotImplementedError

    def close(self) -> None:
        _end(self.process)


def _end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _pixels(png: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB"))


class Browser(Tab):
    """Chromium without a window."""

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

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.do("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def move(self, x: float, y: float) -> None:
        self.mouse("mouseMoved", x, y)

    def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def key(self, key: str) -> None:
        text = {"text": key} if len(key) == 1 else {}
        self.do("Input.dispatchKeyEvent", type="keyDown", key=key, **text)
        self.do("Input.dispatchKeyEvent", type="keyUp", key=key)

    def screenshot(self) -> np.ndarray:
        """(height, width, 3) uint8 of the window."""
        return _pixels(self.do("Page.captureScreenshot", format="png")["data"])

    def complaints(self) -> list[str]:
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
        super().close()


PREFERENCES = {
    "marionette.port": 0,  # one that is free
    "webgl.force-enabled": True,  # also where the processor draws
    "devtools.console.stdout.content": True,  # what a page says, and not what the browser says
    "devtools.console.stdout.chrome": False,
    "browser.shell.checkDefaultBrowser": False,
    "toolkit.cosmeticAnimations.enabled": False,
    "services.settings.server": "data:,",
    "messaging-system.rsexperimentloader.enabled": False,
    "app.normandy.enabled": False,
    "datareporting.policy.dataSubmissionEnabled": False,
}
# requests that a page makes; those of the browser itself have the system's principal
LISTEN = """
    const asked = (window.asked = []);
    Services.obs.addObserver({ observe: (channel) => {
        channel.QueryInterface(Ci.nsIHttpChannel);
        if (!channel.loadInfo.triggeringPrincipal?.isSystemPrincipal) asked.push(channel.URI.spec);
    } }, "http-on-opening-request");
"""
ERRORS = """
    return Services.console.getMessageArray().filter((one) => one instanceof Ci.nsIScriptError)
        .filter((one) => one.sourceName.startsWith("file:") || /CSP|Content Security/.test(one.category))
        .map((one) => one.errorMessage);
"""
KEYS = {"Escape": "\ue00c", "Enter": "\ue007", "ArrowLeft": "\ue012", "ArrowRight": "\ue014"}


class Firefox(Tab):
    """Firefox on a display that nobody sees."""

    def __init__(self, profile: Path):
        read, write = os.pipe()
        command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1400x24", "-nolisten", "tcp"]
        self._display = subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.DEVNULL)
        os.close(write)
        with os.fdopen(read) as said:
            display = said.readline().strip()
        profile.mkdir(parents=True, exist_ok=True)
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in PREFERENCES.items()]
        (profile / "user.js").write_text("\n".join(lines))
        self._said = profile / "said.txt"
        command = [executable(FIREFOX), "--marionette", "--remote-allow-system-access", "--profile", str(profile)]
        with self._said.open("wb") as said:
            environment = os.environ | {"DISPLAY": f":{display}", "MOZ_ENABLE_WAYLAND": "0"}
            self.process = subprocess.Popen(command, env=environment, stdout=said, stderr=said)
        self._socket = self._connected(profile / "MarionetteActivePort")
        self._rest, self._count, self._from = b"", 0, 0
        self._next()  # it greets
        self._call("WebDriver:NewSession")
        self._chrome(LISTEN)

    def _connected(self, port: Path) -> socket.socket:
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                return socket.create_connection(("127.0.0.1", int(port.read_text())), timeout=60)
            except (OSError, ValueError):
                time.sleep(0.05)
        raise AssertionError(f"firefox does not start: {self._said.read_text()[-500:]}")

    def _call(self, command: str, **parameters: Any) -> Any:
        self._count += 1
        message = json.dumps([0, self._count, command, parameters]).encode()
        self._socket.sendall(f"{len(message)}:".encode() + message)
        _, _, error, value = self._next()
        assert error is None, error
        return value["value"] if isinstance(value, dict) and set(value) == {"value"} else value

    def _next(self) -> Any:
        """An answer: its length in bytes, a colon, JSON."""
        while b":" not in self._rest or len(self._rest.split(b":", 1)[1]) < int(self._rest.split(b":", 1)[0]):
            more = self._socket.recv(1 << 20)
            assert more, "firefox ended"
            self._rest += more
        length, rest = self._rest.split(b":", 1)
        self._rest = rest[int(length) :]
        return json.loads(rest[: int(length)])

    def _chrome(self, script: str) -> Any:
        """Runs a script with the browser's own rights."""
        self._call("Marionette:SetContext", value="chrome")
        value = self._call("WebDriver:ExecuteScript", script=script, args=[], newSandbox=False)
        self._call("Marionette:SetContext", value="content")
        return value

    def js(self, expression: str) -> Any:
        script = f"const [done] = arguments; Promise.resolve(({expression})).then(done, (e) => done(`thrown: ${{e}}`))"
        found = self._call("WebDriver:ExecuteAsyncScript", script=script, args=[], scriptTimeout=60_000)
        assert not str(found).startswith("thrown: "), found
        return found

    def resize(self, width: int, height: int) -> None:
        frame = self.js("[outerWidth - innerWidth, outerHeight - innerHeight]")
        self._call("WebDriver:SetWindowRect", width=width + frame[0], height=height + frame[1])

    def open(self, path: Path, hash_: str = "", ready: str = "document.documentElement?.dataset.ready") -> None:
        """Opens a file afresh and waits until the page says that it is ready."""
        self._call("WebDriver:Navigate", url="about:blank")
        self._from = self._said.stat().st_size
        self._chrome("window.asked.length = 0; Services.console.reset()")
        self._call("WebDriver:Navigate", url=f"{Path(path).absolute().as_uri()}{hash_}")
        self.until(ready)

    def _act(self, kind: str, *actions: dict[str, Any], **more: Any) -> None:
        self._call("WebDriver:PerformActions", actions=[{"type": kind, "id": kind, "actions": actions, **more}])

    def move(self, x: float, y: float) -> None:
        self._act("pointer", {"type": "pointerMove", "x": float(x), "y": float(y), "duration": 0})

    def click(self, x: float, y: float) -> None:
        self.move(x, y)
        self._act("pointer", {"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0})

    def key(self, key: str) -> None:
        self._act("key", *({"type": kind, "value": KEYS.get(key, key)} for kind in ("keyDown", "keyUp")))

    def screenshot(self) -> np.ndarray:
        return _pixels(self._call("WebDriver:TakeScreenshot", full=False))

    def complaints(self) -> list[str]:
        self.js("0")
        time.sleep(0.2)  # it writes them from another process
        said = self._said.read_bytes()[self._from :].decode(errors="replace").splitlines()
        of_page = [line for line in said if re.match(r"console\.(error|warn): (?!\w+: *$)", line)]  # not of its parts
        return of_page + self._chrome(ERRORS)

    def requests(self) -> list[str]:
        self.js("0")
        return self._chrome("return [...window.asked]")

    def close(self) -> None:
        self._socket.close()
        super().close()
        _end(self._display)
