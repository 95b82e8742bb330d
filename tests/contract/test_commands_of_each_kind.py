"""The commands on runs of texts, sounds and clips: a tiny series of each is fitted, encoded, drawn and passed on."""

from __future__ import annotations

import json
import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from brainnet.cli.app import app
from tests.contract.test_series_of_each_kind import LAYER, NETWORKS, written

ON_A_SURFACE = """
import numpy as np
from brainnet.dataset.readers.time_series import SeriesFolder
from brainnet.space import surface_space

class OnASurface(SeriesFolder):
    def __init__(self, *words, **options):
        super().__init__(*words, **options)
        self.space = surface_space(np.arange(5) + 900, rois={"A1": np.arange(5) < 3})
"""
COMPARED = {"text": "clip_text:ViT-S-32-alt=random", "sound": "silero:vad=random", "video": "video:expansion:small"}


def run(*words) -> str:
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, f"{words}\n{done.output}\n{done.exception!r}"
    return " ".join(done.output.split())


@pytest.fixture(scope="module", params=COMPARED)
def made(request, tmp_path_factory):
    """The kind, and a folder with a fit and an encoding of a series whose voxels lie on a surface."""
    for package in {"text": ("open_clip",)}.get(request.param, ("av",)):
        pytest.importorskip(package)
    folder = tmp_path_factory.mktemp(request.param)
    data = written(request.param, folder / "data")
    (folder / "mine.py").write_text(ON_A_SURFACE)
    options = "{tr: 2.0, test: 'run2,run3', degree: 0, start: -2}"
    common = ["--config", "series", "DATASET.NAME", folder / "mine.py:OnASurface", "DATASET.DATA_DIR", data.folder,
              *NETWORKS[request.param], "--quiet"]  # fmt: skip
    told = run("encode", *common, "DATASET.OPTIONS", options, "--delays", "1 3", "--layer", LAYER[request.param],
               "--keep-weights", "--resamples", "20", "--out", folder / "encoding")  # fmt: skip
    assert "volumes" in told
    assert "images" not in told
    options = "{tr: 2.0, val: run2, test: run3, degree: 0, start: -2}"
    told = run("fit", *common, "DATASET.OPTIONS", options, "MODEL.OPTIONS", "{delays: [1, 3]}", "TRAINER.MAX_EPOCHS",
               "2", "TRAINER.VAL_EVERY", "2", "--out", folder / "fit")  # fmt: skip
    assert "15 volumes" in told
    return request.param, folder


def picture(path):
    """A picture that shows something."""
    with Image.open(path) as shown:
        assert np.asarray(shown.convert("L")).std() > 5, path
    return path


def test_figures_pages_and_reports(made, tmp_path):
    _, folder = made
    for name in ("maps", "latency", "delays", "course"):
        (folder / "fit" / f"{name}.png").unlink()
    told = run("plot", folder / "fit")
    for name in ("maps", "latency", "delays", "course"):
        assert f"{name}.png" in told
        picture(folder / "fit" / f"{name}.png")
    run("plot", folder / "fit", "--map", "latency", "--out", tmp_path / "latency")
    picture(next((tmp_path / "latency").glob("*.png")))
    failed = CliRunner().invoke(app, ["plot", str(folder / "encoding")])
    assert "figures lie in" in str(failed.exception)
    # seconds of the run, as its table counts them: the first volume began two seconds before
    course = pd.read_csv(next((folder / "encoding" / "figures").glob("course_*.csv")))
    assert course["time"].tolist() == [-2.0 + 2 * k for k in range(15)]
    with np.load(folder / "fit" / "courses.npz") as courses:
        assert courses["times"].tolist() == course["time"].tolist()
    for name in ("course", "runs", "layers"):
        picture(next((folder / "encoding" / "figures").glob(f"{name}_*.png")))
    for name in ("scores", "layers"):
        drawn = next((folder / "encoding" / "figures").glob(f"{name}_*.svg")).read_text()
        assert "blocks of volumes" in drawn
        assert "images" not in drawn
    assert "A1" in (folder / "fit" / "delays.svg").read_text()
    run("page", folder / "fit", folder / "encoding", "--out", tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    for word in ("Latency", "Prediction and response over time", "Score of each run", "Weight of each delay"):
        assert word in page
    run("report", folder / "fit", folder / "encoding", "--out", tmp_path / "report.html")
    assert "test volumes" in (tmp_path / "report.html").read_text()


def test_lists_exports_and_comparisons(made, tmp_path):
    kind, folder = made
    told = run("runs", "list", folder)
    assert "fit" in told
    assert "encode" in told
    for name in ("fit", "encoding"):
        assert "seal" in run("runs", "show", folder / name)
    run("export", folder / "fit", "--format", "gifti", "--map", "r", "--out", tmp_path / "maps")
    assert list((tmp_path / "maps").rglob("*.gii"))
    for name in ("fit", "encoding"):
        run("export", folder / name, "--to", "model", "--out", tmp_path / f"{name}_card")
        run("predict", tmp_path / f"{name}_card", folder / "data" / "new.csv", "--out", tmp_path / name, "--quiet")
        assert np.load(tmp_path / name / "predictions.npy").shape == (15, 5)
    table = tmp_path / "compared" / "similarity.csv"
    shown = run("compare", folder / "data" / "stimuli", "-b", COMPARED[kind], "--out", table.parent, "--quiet")
    assert "layers of 1 network" in shown
    picture(table.parent / "similarity.png")
    assert len(pd.read_csv(table)) > 1
    card = json.loads((table.parent / "run.json").read_text())
    assert card["source"]["kind"] == kind
    assert os.fspath(folder / "data" / "stimuli") in card["source"]["path"]
    words = ["compare", folder / "data" / "stimuli", "-b", COMPARED[kind], "-b", "expansion:small", "--out", tmp_path]
    assert "reads images" in str(CliRunner().invoke(app, [*map(str, words), "--quiet"]).exception)
