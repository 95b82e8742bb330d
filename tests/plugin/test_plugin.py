"""Another package's parts, found by their entry points; and a user's own file, found by its path."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.toy_files import write_pictures

PACKAGE = Path(__file__).parent / "package"
ROOT = Path(__file__).resolve().parents[2]
TINY = [
    "TRAINER.MAX_EPOCHS",
    "1",
    "DATASET.BATCH_SIZE",
    "8",
    "MODEL.BOTTLENECK_DIM",
    "4",
    "MODEL.HEAD",
    "sum",
    "--quiet",
]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """A folder on Python's path in which the package lies as pip installs it."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(PACKAGE / "toyplugin", site / "toyplugin", ignore=shutil.ignore_patterns("__pycache__"))
    info = site / "toyplugin-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toyplugin\nVersion: 1.0\n")
    project = (PACKAGE / "pyproject.toml").read_text()
    groups = re.findall(r'^\[project\.entry-points\."(.+)"\]\n((?:\w+ = ".+"\n)+)', project, re.MULTILINE)
    assert len(groups) == 5
    (info / "entry_points.txt").write_text("\n".join(f"[{g}]\n{entries.replace(chr(34), '')}" for g, entries in groups))
    return site


@pytest.fixture(scope="module")
def run(site, tmp_path_factory):
    """Runs words of Python's command line beside toy files; gives its output."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "images").mkdir()
    write_pictures(folder / "images", 12, np.random.default_rng(0))
    for part in ("backbone", "dataset", "readout"):
        shutil.copy(PACKAGE / "toyplugin" / f"{part}.py", folder / f"my_{part}.py")
    (folder / "my_backbone.py").open("a").write("\n\ndef fine():\n    return build('fine')\n")
    env = os.environ | {"PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}

    def run(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2500:]
        return done.stdout

    run.folder = folder
    return run


def card(run, out: str) -> dict:
    return json.loads((run.folder / out / "run.json").read_text())


def test_the_lists_name_what_other_packages_bring(run):
    listed = [line.split() for line in run("-m", "brainnet", "backbones").splitlines()]  # however wide the columns are
    assert ["blur", *["Blurred", "copies", "of", "the", "image."]] in listed
    assert run("-m", "brainnet", "backbones", "blur").split() == ["blur:fine", "blur:coarse"]
    found = json.loads(run("-m", "brainnet", "backbones", "--architecture", "blur", "--max-params", "10", "--json"))
    assert [(row["name"], row["method"], row["parameters"]) for row in found] == [
        ("blur:fine", "untrained", 0), ("blur:coarse", "untrained", 0),
    ]  # fmt: skip
    assert "Stripes of two orientations." in run("-m", "brainnet", "datasets")


def test_a_network_and_a_data_set_of_another_package_are_fitted(run):
    run("-m", "brainnet", "fit", "BACKBONE.NAME", "blur:coarse", "BACKBONE.OPTIONS.gain", "2.0",
        "DATASET.NAME", "stripes", "DATASET.OPTIONS.n_images", "30", *TINY, "--out", "fit")  # fmt: skip
    found = card(run, "fit")
    assert found["data"]["n_images"] == 30
    assert found["backbone"]["weights"] == "gain 2.0"


def test_a_distance_of_another_package_makes_rdms(run):
    run(
        "-m", "brainnet", "rdm", "images", "--backbone", "blur:fine", "--metric", "canberra", "--out", "rdms", "--quiet"
    )
    assert card(run, "rdms")["settings"]["metric"] == "canberra"
    code = """
import torch
from brainnet.rsa import rdm
a = torch.rand(4, 3, dtype=torch.float64)
expected = torch.stack([((a[i] - a[j]).abs() / (a[i] + a[j])).sum() for i in range(4) for j in range(i + 1, 4)])
torch.testing.assert_close(rdm(a, "canberra").values[0].double(), expected, atol=1e-6, rtol=1e-6)
"""
    run("-c", code)


def test_everything_is_found_from_python(run):
    code = """
from brainnet.backbone import BACKBONES, build_backbone
from brainnet.dataset import DATASETS
assert build_backbone("blur:coarse", gain=3.0).gain == 3.0
assert "blur" in BACKBONES and BACKBONES.variants("blur") == ["fine", "coarse"]
assert len(DATASETS["stripes"].from_settings("", 0, n_images=10)) == 10
try:
    build_backbone("blur:fine", gian=3.0)
except ValueError as error:
    assert "'gian'" in str(error) and "'gain'" in str(error)
"""
    run("-c", code)


def test_files_of_ones_own_need_no_package(run):
    run("-m", "brainnet", "fit", "BACKBONE.NAME", "my_backbone.py:fine", "DATASET.NAME", "my_dataset.py:Stripes", *TINY,
        "--out", "own")  # fmt: skip
    assert card(run, "own")["data"]["n_images"] == 24
    run("-m", "brainnet", "rdm", "images", "--backbone", "my_backbone.py:fine", "--out", "own_rdms", "--quiet")
    assert card(run, "own_rdms")["settings"]["layers"] == ["blur2", "blur4"]


def test_a_method_of_another_package_encodes(run):
    run("-m", "brainnet", "encode", "BACKBONE.NAME", "blur:coarse", "DATASET.NAME", "stripes", "--method", "nearest",
        "--resamples", "20", "--out", "encoding", "--quiet")  # fmt: skip
    assert "nearest" in (run.folder / "encoding" / "encoding.csv").read_text()


@pytest.mark.parametrize("readout", ["average", "my_readout.py:Average"])
def test_a_read_out_of_another_package_is_trained(run, readout):
    out = re.sub(r"\W", "", readout)
    run("-m", "brainnet", "fit", "BACKBONE.NAME", "blur:coarse", "DATASET.NAME", "stripes", "MODEL.READOUT", readout,
        "MODEL.OPTIONS.shrink", "0.001", *TINY, "--out", out)  # fmt: skip
    assert card(run, out)["data"]["n_images"] == 24


# what a person would type, a cell each
NOTEBOOK = [
    """
import pytorch_lightning as pl
from brainnet.backbone import build_backbone
from brainnet.config import load_config
from brainnet.datamodule import BrainDataModule
from brainnet.dataset import DATASETS
from brainnet.store import TokenStore

backbone = build_backbone("blur:coarse", gain=2.0)
subject = DATASETS["stripes"].from_settings("", 0, n_images=30)
store = TokenStore.build(backbone, subject, grid=(2, 2), progress=False)
subject
""",
    """
from brainnet.plmodel import PLModel

cfg = load_config(None, ["MODEL.READOUT", "average", "MODEL.OPTIONS.shrink", "0.001", "MODEL.GRID", "(2, 2)"])
model = PLModel(cfg, backbone, data=BrainDataModule(subject, store, batch_size=8), progress=False)
trainer = pl.Trainer(max_epochs=1, logger=False, enable_checkpointing=False, enable_progress_bar=False)
trainer.fit(model)
type(model.encoder).__name__
""",
    """
from brainnet.encode import encode

table = encode(store, subject, methods=["nearest"], n_resamples=20, progress=False).table
table[(table["layer"] == "blur8") & (table["score"] == "r") & (table["roi"] == "all")]["mean"].item()
""",
    """
from brainnet.rsa import compare, rdm

compare(rdm(store.features("blur8"), "canberra"), rdm(subject.responses)).item()
""",
]


@pytest.mark.filterwarnings("ignore")
def test_all_of_another_package_works_in_a_notebook(site, tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), str(ROOT)]))  # of the kernel
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in NOTEBOOK])
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [cell.outputs[-1]["data"]["text/plain"] for cell in notebook.cells]
    assert shown[0].startswith("Stripes(30 images")
    assert shown[1] == "'Average'"
    assert float(shown[2]) > 0.5  # the nearest picture's stripes are nearly those shown
    assert -1 <= float(shown[3]) <= 1
