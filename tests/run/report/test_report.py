"""Reports of run folders: all of a run in one file, the same twice, and lines for what cannot be told of."""

import html
import json
import re
from pathlib import Path

import pytest

from brainnet._files import write_json
from brainnet.run.report.report import _caption, _first, _page_section, write_report
from tests.browser import Browser, needs_chromium
from tests.run.encodings import run_grid, save_subject
from tests.run.page.test_scenes import searched


def test_a_fit_is_told_of_in_one_file_the_same_twice(mapped, tmp_path):
    out, metrics, _, _, _ = mapped
    first = write_report([out], tmp_path / "new" / "a.html")
    assert write_report([out], tmp_path / "b.html").read_bytes() == first.read_bytes()
    text = first.read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    for heading in ("Scores", "Figures", "Methods", "To cite", "What the maps do not say", "Run card"):
        assert f">{heading}</h2>" in text
    assert f"{metrics['test']['all']['r']['mean']:.3f}" in text
    assert "data:image/png;base64," in text
    assert "@inproceedings{yang2024brain" in text
    assert '<td class="text">OPTIMIZER.LR</td>' in text
    outside = re.sub(r'srcdoc="[^"]*"', "", text)
    assert not re.search(r"(src|href)=\"(?!data:|#)", outside)
    assert "<script" not in outside


@needs_chromium
def test_the_page_within_runs_and_nothing_complains(mapped, tmp_path):
    path = write_report([mapped[0]], tmp_path / "a.html")
    browser = Browser(tmp_path / "profile")
    try:
        browser.resize(1200, 900)
        browser.open(path, ready="document.querySelector('iframe')?.contentDocument?.documentElement?.dataset.ready")
        assert browser.js("[...document.images].every((one) => one.naturalWidth > 0)")
        assert browser.js("getComputedStyle(document.querySelector('iframe')).borderRadius") == "6px"
        for width in (1200, 400):
            browser.resize(width, 900)
            assert browser.js("document.documentElement.scrollWidth <= innerWidth")
        assert browser.complaints() == []
        assert browser.requests() == []
    finally:
        browser.close()


def test_voxels_without_a_place_get_a_line_in_place_of_the_page(tmp_path):
    save_subject(tmp_path / "data", 0)
    run_grid(tmp_path / "data", tmp_path / "out", methods=["ridge"])
    text = write_report([tmp_path / "out"], tmp_path / "a.html").read_text(encoding="utf-8")
    assert "have no place on a brain" in text
    assert "<iframe" not in text
    assert "script-src 'none'" in text


def test_the_line_in_place_of_the_page_is_text_and_every_figure_has_a_caption(tmp_path):
    said = _page_section(None, "a folder of `brainnet rsa`")
    assert "Not shown here: a folder of brainnet rsa" in said
    drawn = ["maps", "top_models_ridge", "best_model", "best_steps", "steps_1", "lags", "lagged_1", "weights_rdms"]
    captions = [_caption(tmp_path / f"{name}.png") for name in drawn]
    assert [name for name, caption in zip(drawn, captions, strict=True) if caption == f"{name}.png"] == []
    assert len(set(map(_first, map(Path, drawn)))) == len(drawn)  # "best_steps" is not taken for "steps"


def test_runs_of_two_kinds_stand_one_below_the_other(mapped, tmp_path):
    searched(tmp_path / "light")
    text = write_report([mapped[0], tmp_path / "light"], tmp_path / "a.html").read_text(encoding="utf-8")
    assert re.findall(r'<h2 id="run\d">Run (\w+)</h2>', text) == ["mapped", "light"]
    assert text.count("<iframe") == 1
    assert "kriegeskorte2006information" in text


def test_names_from_data_are_harmless(mapped, tmp_path):
    folder = tmp_path / "<b>x"
    searched(folder)
    card = json.loads((folder / "run.json").read_text())
    write_json(folder / "run.json", {k: v for k, v in card.items() if k != "seal"} | {"command": "<img src=x>"})
    text = write_report([folder], tmp_path / "a.html").read_text(encoding="utf-8")
    outside = re.sub(r'srcdoc="[^"]*"', "", text)
    assert "<b>" not in outside
    assert "<img src=x>" not in outside
    assert html.escape("<img src=x>") in outside


def test_what_cannot_be_told_of_is_refused(tmp_path):
    with pytest.raises(ValueError, match="one run"):
        write_report([], tmp_path / "a.html")
    with pytest.raises(FileNotFoundError, match=r"run\.json"):
        write_report([tmp_path], tmp_path / "a.html")
    write_json(tmp_path / "run.json", {"kind": "extract", "command": "brainnet extract", "created": ""})
    with pytest.raises(ValueError, match="extract"):
        write_report([tmp_path], tmp_path / "a.html")
    write_json(tmp_path / "run.json", {"kind": "fit", "command": "brainnet fit", "created": ""})
    with pytest.raises(FileNotFoundError, match=r"metrics\.json"):
        write_report([tmp_path], tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()
