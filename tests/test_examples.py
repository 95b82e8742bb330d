"""The examples run, on fewer images and voxels than a reader would use, and leave the figures they speak of."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))
# what a reader runs -> what the test runs: the same lines, smaller
SMALLER = {
    "n_train=528, radius=20": "n_train=40, n_val=10, n_test=12, radius=8, progress=False",
    "max_epochs=25": "max_epochs=1, accelerator='cpu'",
    "n_train=300, radius=15": "n_train=40, n_val=10, n_test=20, radius=6",
    "n_train=120, n_test=40, radius=10": "n_train=20, n_val=4, n_test=12, radius=6",
    "n_train=200, radius=12": "n_train=40, n_val=10, n_test=20, radius=6",
    "n_train=300, radius=12": "n_train=60, n_val=10, n_test=20, radius=6",
    "n_train=60, n_test=40": "n_train=60, n_val=10, n_test=4, radius=12",
    "n_train=200, n_test=80, radius=14": "n_train=40, n_val=10, n_test=20, radius=6",
    '"DATASET.N_TRAIN", 300, "DATASET.N_TEST", 60, "TRAINER.MAX_EPOCHS", 12': (
        '"DATASET.N_TRAIN", 48, "DATASET.N_TEST", 12, "DATASET.N_VOXELS", 60, "TRAINER.MAX_EPOCHS", 1'
    ),
    "n_permutations=200": "n_permutations=19",
    "n_permutations=500": "n_permutations=19, progress=False",
    '"training": 200, "test": 60': '"training": 40, "test": 20',
    "n_permutations=1000": "n_permutations=19, n_resamples=19",
    "n_train=300, n_val=25, n_test=50, radius=20": "n_train=60, n_val=10, n_test=50, radius=20, progress=False",
    "n_train=250, n_val=10, n_test=60": "n_train=50, n_val=10, n_test=20, progress=False",
    "torch.rand(300, 3, 8, 8)": "torch.rand(60, 3, 8, 8)",
    "torch.randn(300, 50, 3)": "torch.randn(60, 50, 3)",
    "np.random.default_rng(0), 16000, 240": "np.random.default_rng(0), 16000, 40",
    "np.random.default_rng(0), 200, 6": "np.random.default_rng(0), 40, 6",
    "n_sentences = 600": "n_sentences = 180",
    "n_images, rng = 120": "n_images, rng = 30",
    "BandedRidgeCV(n_iter=10)": "BandedRidgeCV(n_iter=2)",
}


def test_examples_are_numbered_in_reading_order():
    assert sorted(int(path.name.split("_")[0]) for path in EXAMPLES) == list(range(1, len(EXAMPLES) + 1))


def test_no_two_examples_write_one_picture():
    """A reader runs them in one folder."""
    names = [name for path in EXAMPLES for name in re.findall(r'savefig\(\s*"([\w.]+)"', path.read_text())]
    assert sorted(names) == sorted(set(names))


def test_no_example_writes_where_real_data_may_lie():
    """Planted files of the same names would replace those of a publisher."""
    for path in EXAMPLES:
        for folder in re.findall(r'Path\("([\w.]+)"\)', path.read_text()):
            assert folder.startswith(("planted_", "demo_")), (path.name, folder)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_opens_with_its_question_and_closes_with_a_sentence(path):
    text = path.read_text()
    title, underline = ast.get_docstring(ast.parse(text)).splitlines()[:2]
    assert title.endswith("?")
    assert underline == "=" * len(title)  # what the gallery of the site takes for a heading
    last = text.rstrip().rpartition("# %%\n")[2]
    assert all(line.startswith("# ") for line in last.splitlines())
    assert last.endswith(".")
    assert "savefig(" in text or ".save(" in text


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_runs(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = path.read_text()
    replaced = [usual for usual in SMALLER if usual in code]
    assert replaced, "nothing in it is made smaller: the numbers here are out of date"
    for usual in replaced:
        code = code.replace(usual, SMALLER[usual])
    exec(compile(code, path.name, "exec"), {"__name__": "__main__"})
    for name in re.findall(r'(?:savefig|save)\(\s*"([\w.]+)"', code):
        assert (tmp_path / name).stat().st_size > 5000
    assert capsys.readouterr().out
