"""Figures as files: whole or absent, and the same bytes each time."""

import os
import subprocess
import sys

import pytest

from brainnet import plot
from brainnet.plot.saving import save

FORMATS = ("png", "svg", "pdf")
DRAW = """
import sys, time, torch
from unittest import mock
from brainnet import plot
from brainnet.space import BrainSpace
generator = torch.Generator().manual_seed(0)
space = BrainSpace(mask=torch.ones(4, 4, 3).bool(), affine=torch.eye(4).double(), rois={"V1": torch.arange(48) < 20})
scores = {name: torch.rand(48, generator=generator) for name in ("early", "middle", "late")}
figures = {
    "bars": plot.scores(scores, space, noise_ceiling=torch.rand(48, generator=generator)),
    "slices": plot.best_layer(scores, space, outlines=True),
    "tree": plot.tree(torch.rand(28, generator=generator), groups=list("aabbccdd")),
}
with mock.patch("time.time", return_value=float(sys.argv[2])):
    for name, figure in figures.items():
        plot.save(figure, f"{sys.argv[1]}/{name}", ("png", "svg", "pdf"))
"""


def test_two_runs_of_a_command_write_the_same_bytes(tmp_path):
    """In processes of their own, hours apart, whose sets and dictionaries are in another order."""
    written = []
    for seed, now in (("1", "1e9"), ("2", "1.5e9")):
        folder = tmp_path / seed
        folder.mkdir()
        subprocess.run([sys.executable, "-c", DRAW, folder, now], check=True, env=os.environ | {"PYTHONHASHSEED": seed})
        written.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert sorted(written[0]) == sorted(f"{name}.{kind}" for name in ("bars", "slices", "tree") for kind in FORMATS)
    assert [name for name in written[0] if written[0][name] != written[1][name]] == []
    assert b"dc:date" not in written[0]["bars.svg"]
    assert b"CreationDate" not in written[0]["bars.pdf"]


def test_a_path_may_name_its_format(tmp_path):
    figure = plot.time_by_time([[0.1, 0.2]])
    assert [file.name for file in save(figure, tmp_path / "depth.pdf")] == ["depth.pdf"]
    assert (tmp_path / "depth.pdf").read_bytes().startswith(b"%PDF")
    assert [file.name for file in save(figure, tmp_path / "layer4.1", ["png"])] == ["layer4.1.png"]


def test_a_figure_that_fails_leaves_no_half_file_and_the_settings_of_matplotlib_stay(tmp_path, monkeypatch):
    import matplotlib

    before = dict.copy(matplotlib.rcParams)
    figure = plot.time_by_time([[0.1, 0.2]])
    old = save(figure, tmp_path / "a", ["png"])[0].read_bytes()

    def broken(path, **options):
        path.write_bytes(b"half")
        raise RuntimeError("no glyph")

    monkeypatch.setattr(figure, "savefig", broken)
    with pytest.raises(RuntimeError):
        save(figure, tmp_path / "a", ["png"])
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]
    assert (tmp_path / "a.png").read_bytes() == old
    assert dict.__eq__(matplotlib.rcParams, before)


def test_only_formats_that_are_the_same_each_time(tmp_path):
    with pytest.raises(ValueError, match="jpeg"):
        save(plot.time_by_time([[0.1, 0.2]]), tmp_path / "a", ["png", "jpeg"])
    assert not list(tmp_path.iterdir())
