"""The README's and the notebook's code runs, on fewer images than a reader would use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.toy_pages import SMALLER_PYTHON, smaller_python

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.filterwarnings("ignore")
def test_readme_code_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text()
    assert all(usual in text for usual in SMALLER_PYTHON)
    blocks = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert blocks
    namespace: dict = {}
    for block in blocks:
        exec(compile(smaller_python(block), "README.md", "exec"), namespace)
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
            cell.source = smaller_python(cell.source)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    pictures = [
        o for c in notebook.cells if c.cell_type == "code" for o in c.outputs if "image/png" in o.get("data", {})
    ]
    assert pictures
