"""The pages of the data sets in the docs say what the readers say today."""

from __future__ import annotations

import re
import shlex

import pytest

from brainnet.config import load_config
from brainnet.dataset import DATASETS
from brainnet.dataset.catalogue import reader_options
from brainnet.run import dataset_pages
from brainnet.run.dataset_pages import FOLDER, MADE, fit_line, pages, write_pages


def test_no_page_is_stale():
    stale = "run `python -m brainnet.run.dataset_pages`: docs/datasets/{} is stale"
    made = pages()
    for name, text in made.items():
        path = FOLDER / name
        assert path.is_file(), stale.format(name)
        assert path.read_text(encoding="utf-8") == text, stale.format(name)
    left = [path.name for path in FOLDER.glob("*.md") if path.name not in made]
    assert not left, stale.format(left)


@pytest.mark.parametrize("name", [name for name in DATASETS.names() if DATASETS[name].about])
def test_a_page_holds_what_the_reader_says(name):
    text, about = pages()[f"{name}.md"], DATASETS[name].about
    reader = text.partition("## The reader")[2].partition("| option |")[0]
    assert "```" not in reader  # sentences, which a page wraps
    for step in about.steps:
        assert not re.search("--|<", re.sub("`.*?`", "", step)), step  # what is typed is code, and <word> is a tag
    for part in (about.title, about.what, about.where, about.terms, about.size, about.layout, about.cite,
                 about.verified, *about.steps):  # fmt: skip
        assert part in text
    told = {one.name: one.default for one in reader_options(name) if one.name == "subject" and one.default}
    assert f"```bash\n{fit_line(name, 'FOLDER', told)}\n```" in text
    assert f"```text\n{about.layout}\n```" in text  # without the word the site colors it as Python: "agree *with*"
    assert not re.search(r"see [A-Z_a-z]+\.|see above", text[text.index("| option |") : text.index("\n## To ")])
    assert f"[{name}]({name}.md)" in pages()["index.md"]
    cells = [line.count("|") - line.count("\\|") for line in text.splitlines() if line.startswith("|")]
    assert set(cells) == {4}


def test_a_page_says_what_is_fetched_for_which_option():
    text = pages()["things_eeg.md"]
    assert "brainnet datasets get things_eeg --out FOLDER --option version=1\n" in text
    assert "continuous.set`, `derivatives" in text
    assert "fetches `derivative/preprocessed_data/UTS01/*.hf5`, `derivative/respdict.json`" in pages()["lebel.md"]
    assert "annotation/EN/lppEN_word_information.csv" in pages()["lepetitprince.md"]
    by_hand = [name for name, page in pages().items() if page.startswith(MADE) and "By hand:" in page]
    assert by_hand
    assert all("By hand:\n\n1. " in pages()[name] for name in by_hand)


def test_the_line_to_fit_names_the_preset_of_the_data_set():
    assert fit_line("nsd", "x") == "brainnet fit --config nsd DATASET.DATA_DIR x --out run"
    assert fit_line("algonauts", "x").startswith("brainnet fit --config algonauts_clip ")
    assert fit_line("mine.py:Mine", "x").startswith("brainnet fit DATASET.NAME mine.py:Mine ")


@pytest.mark.parametrize("name", [name for name in DATASETS.names() if DATASETS[name].about])
def test_a_recipe_of_others_that_a_reader_names_is_in_its_line(name):
    preset = DATASETS[name].about.preset
    if preset:
        assert fit_line(name, "x").startswith(f"brainnet fit --config {preset} DATASET.NAME {name} ")
        assert name == load_config(preset, ["DATASET.NAME", name]).DATASET.NAME
    assert bool(preset) or name != "cowley_v4"


def test_the_line_to_fit_is_read_back_by_a_shell_and_the_settings():
    options = {"subject": 2, "where": {"region": "IT"}, "window": [0.05, 0.2], "file": 'it\'s "one"'}
    words = shlex.split(fit_line("nsd", "/data", options))
    settings = load_config("nsd", words[words.index("DATASET.DATA_DIR") : -2])
    assert options == settings.DATASET.OPTIONS


def test_pages_of_readers_that_are_no_more_go_and_others_stay(tmp_path, monkeypatch):
    (tmp_path / "gone.md").write_text(f"{MADE}\n\n# Gone\n")
    (tmp_path / "own.md").write_text("# My own\n")
    monkeypatch.setattr(dataset_pages, "pages", lambda: {"index.md": "one\n"})
    assert write_pages(tmp_path) == [tmp_path / "index.md"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["index.md", "own.md"]
