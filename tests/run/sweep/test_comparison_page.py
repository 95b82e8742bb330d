from __future__ import annotations

import base64
import hashlib
import json
import re

import pandas as pd
import pytest

from brainnet.run.sweep.comparison import compare_sweep
from brainnet.run.sweep.comparison_page import page_of
from brainnet.run.sweep.definition import read_definition
from brainnet.run.sweep.plan import make_plan
from brainnet.run.sweep.sweep import run_sweep
from tests.browser import Browser, needs_chromium
from tests.run.sweep.toys import asked, subject


def page_with(name: str, tmp_path, description: str = "") -> str:
    row = {"method": "ridge", "control": "", "roi": "V1", "model": name, "mean": 0.5, "low": float("nan"),
           "high": 0.6, "rank_low": 1, "rank_high": 2, "ceiling": float("nan")}  # fmt: skip
    models = pd.DataFrame([{"model": name, "name": name, "kind": "", "parameters": float("nan")}])
    columns = ["method", "control", "roi", "model", "layer", "depth", "mean"]
    layers = pd.DataFrame([("ridge", "", "V1", name, "conv2", 0.5, 0.5)], columns=columns)
    plan = make_plan(read_definition(asked(description=description)))
    return page_of(plan, tmp_path, {"ranking": pd.DataFrame([row]), "models": models, "layers": layers})


def test_a_name_is_data_and_never_html(tmp_path):
    bad = "</script><img src=x onerror=alert(1)>"
    page = page_with(bad, tmp_path, bad)
    assert "<img" not in page
    assert page.count("</script>") == 2


def test_its_own_script_and_style_are_allowed_and_nothing_else(tmp_path):
    page = page_with("net", tmp_path)
    script = re.search(r"<script>(.*)</script>", page, re.DOTALL)[1]
    style = re.search(r"<style>(.*)</style>", page, re.DOTALL)[1]
    for content in (script, style):
        assert base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() in page


def test_what_is_not_known_is_null(tmp_path):
    assert '"low":null' in page_with("net", tmp_path)


def test_a_sweep_that_is_at_work_says_how_many_networks_are_compared(tmp_path):
    page = page_with("net00", tmp_path)
    assert "<title>Comparison of 1 network" in page
    assert "The other one has no score yet" in page


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """The page of four networks with two subjects on a cortex and in no place."""
    out = tmp_path_factory.mktemp("compared")
    subjects = {"cortex": subject(0, source=2, surface=True, n_images=120), "free": subject(1, source=2, n_images=120)}
    run_sweep(asked(4, subjects), out, progress=False)
    compare_sweep(out, progress=False)
    return out / "comparison" / "comparison.html"


def test_voxels_on_a_cortex_are_a_map_and_others_bars(compared):
    data = json.loads(re.search(r'id="data">(.*?)</script>', compared.read_text(encoding="utf-8"))[1])
    captions = {one["subject"]: one["caption"] for one in data["maps"]["net02|ridge"]}
    assert "every voxel" in captions["cortex"]
    assert "each region" in captions["free"]
    assert "net02|rsa" not in data["maps"]
    assert len(compared.read_bytes()) < 1e6


@needs_chromium
@pytest.mark.parametrize("width", [1200, 390])
def test_it_sorts_filters_and_shows_the_network_that_is_clicked(compared, width, tmp_path):
    names = "[...document.querySelectorAll('#body .name')].map((one) => one.textContent)"
    browser = Browser(tmp_path / "profile")
    try:
        browser.resize(width, 900, mobile=width < 600)
        browser.open(compared, ready="document.querySelectorAll('#body tr').length > 0")
        assert browser.js(names)[0] == "net02"
        browser.js("[...document.querySelectorAll('#head button')][0].click()")
        assert browser.js(names) == ["net00", "net01", "net02", "net03"]
        browser.js("[...document.querySelectorAll('#head button')][0].click()")
        assert browser.js(names) == ["net03", "net02", "net01", "net00"]
        assert browser.js("document.activeElement.textContent").startswith("network")
        browser.js("(() => { const box = document.getElementById('text'); box.value = 'NET01';"
                   " box.dispatchEvent(new Event('input')); })()")  # fmt: skip
        assert browser.js(names) == ["net01"]
        assert browser.js("document.getElementById('count').textContent") == "1 of 4 networks"
        browser.js("document.querySelector('#body tr').click()")
        assert browser.js("document.querySelector('#detail h2').textContent") == "net01"
        assert browser.js("document.activeElement.className") == "chosen"
        assert browser.js("document.querySelector('#detail').getBoundingClientRect().top < innerHeight - 40"), (
            "out of sight"
        )
        browser.js("document.getElementById('scroll').scrollLeft = 150")
        assert browser.js("document.querySelector('#body .name').getBoundingClientRect().left") >= 0
        assert browser.js("[...document.querySelectorAll('#detail img')].map((one) => one.alt.slice(0, 5))") == [
            "net01", "net01"
        ]  # fmt: skip
        browser.js("(() => { const box = document.getElementById('method'); box.value = 'rsa';"
                   " box.dispatchEvent(new Event('change')); })()")  # fmt: skip
        assert "No map" in browser.js("document.querySelector('#detail').textContent")
        assert browser.js("document.documentElement.scrollWidth <= innerWidth")
        assert browser.complaints() == []
        assert browser.requests() == []
    finally:
        browser.close()
