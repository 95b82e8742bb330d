import base64
import gzip
import hashlib
import json
import re

import numpy as np

from brainnet.plot.interactive._file import FOLDER, SCRIPTS, THREE_BUILD, THREE_SHA256, THREE_VERSION, Planes, assemble


def test_three_js_is_what_the_build_line_made():
    content = (FOLDER / "three.js").read_bytes()
    assert hashlib.sha256(content).hexdigest() == THREE_SHA256
    assert f"three@{THREE_VERSION}" in THREE_BUILD
    assert "three_entry.js" in THREE_BUILD
    assert (FOLDER / "three_entry.js").is_file()
    assert b"</script" not in content
    assert b"<!--" not in content
    assert "MIT License" in (FOLDER / "three.LICENSE").read_text(encoding="utf-8")


def test_the_bundle_holds_all_that_our_scripts_use():
    ours = "".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
    entry = (FOLDER / "three_entry.js").read_text(encoding="utf-8")
    used, bundled = set(re.findall(r"THREE\.(\w+)", ours)), set(re.findall(r"\b[A-Z]\w+", entry.partition("{")[2]))
    assert used == bundled


def test_every_script_of_the_folder_is_in_the_page():
    assert {path.name for path in FOLDER.glob("*.js")} == {*SCRIPTS, "three.js", "three_entry.js"}


def test_planes_are_read_back():
    rng = np.random.default_rng(0)
    arrays = [
        rng.integers(0, 255, 7).astype(np.uint8),
        rng.integers(0, 65535, (5, 3)).astype(np.uint16),
        rng.integers(0, 2**32 - 1, 4).astype(np.uint32),
    ]
    planes = Planes()
    assert [planes.add(array) for array in (*arrays, arrays[1])] == [0, 1, 2, 1]
    raw = np.frombuffer(gzip.decompress(base64.b64decode(planes.text())), np.uint8)
    for array, at in zip(arrays, planes.index, strict=True):
        size = at["bytes"] * at["rows"] * at["columns"]
        parts = raw[at["at"] : at["at"] + size].reshape(at["bytes"], at["columns"], at["rows"]).astype(np.uint64)
        read = sum(part << np.uint64(8 * k) for k, part in enumerate(parts)).T
        np.testing.assert_array_equal(read.reshape(array.shape), array)


def test_no_name_ends_the_script_it_stands_in():
    bad = "</script><img src=x onerror=alert(1)><!--"
    html = assemble(bad, {"title": bad}, Planes())
    assert "<img src=x" not in html
    assert html.count("</script>") == 4
    header = re.search(r'<script type="application/json" id="header">(.*?)</script>', html, re.S)[1]
    assert json.loads(header)["title"] == bad


def test_the_policy_forbids_every_connection_and_allows_only_what_is_in_the_page():
    html = assemble("a", {}, Planes())
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', html)[1]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "connect-src" not in policy
    for content in [
        *re.findall(r"<script>(.*?)</script>", html, re.S),
        *re.findall(r"<style>(.*?)</style>", html, re.S),
    ]:
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
