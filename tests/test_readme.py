"""The README's and the notebook's code runs, on fewer images than a reader would use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# what a reader runs -> what the test runs: the same lines, smaller
SMALLER = {
    "SimulatedSubject(seed=0)": "SimulatedSubject(0, n_train=40, n_val=10, n_test=12, n_voxels=60, progress=False)",
    "max_epochs=15": "max_epochs=1, enable_progress_bar=False, logger=False, accelerator='cpu'",
}


def smaller(code: str) -> str:
    for usual, small in SMALLER.items():
        code = code.replace(usual, small)
    return code


@pytest.mark.filterwarnings("ignore")
def test_readme_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text()
    assert all(usual in text for usual in SMALLER)
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(blocks) >= 3
    namespace: dict = {}
    for block in blocks:
        exec(compile(smaller(block), "README.md", "exec"), namespace)
    assert namespace["figure"].axes


def test_readme_names_files_that_exist():
    text = (ROOT / "README.md").read_text()
    for name in re.findall(r"\]\(([\w./-]+)\)", text) + re.findall(r"`(configs/\w+\.yaml)`", text):
        assert (ROOT / name).exists(), name


@pytest.mark.filterwarnings("ignore")
def test_the_notebook_runs_and_is_small(tmp_path):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    path = ROOT / "example.ipynb"
    assert path.stat().st_size < 1_000_000
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.source = smaller(cell.source)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        o for c in notebook.cells if c.cell_type == "code" for o in c.outputs if "image/png" in o.get("data", {})
    ]
    assert pictures
