from __future__ import annotations

import base64
import hashlib
import re

import pandas as pd

from brainnet.run.sweep.definition import read_definition
from brainnet.run.sweep.page import page_of
from brainnet.run.sweep.plan import make_plan
from tests.run.sweep.toys import asked


def page_with(name: str, tmp_path) -> str:
    row = {"method": "ridge", "control": "", "roi": "V1", "model": name, "mean": 0.5, "low": float("nan"),
           "high": 0.6, "rank_low": 1, "rank_high": 2, "ceiling": float("nan")}  # fmt: skip
    models = pd.DataFrame([{"model": name, "name": name, "kind": "", "parameters": float("nan")}])
    plan = make_plan(read_definition(asked(description=name)))
    return page_of(plan, tmp_path, {"ranking": pd.DataFrame([row]), "models": models})


def test_a_name_is_data_and_never_html(tmp_path):
    page = page_with("</script><img src=x onerror=alert(1)>", tmp_path)
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
