from __future__ import annotations

import pandas as pd
import pytest
import torch

from brainnet.backbone import BACKBONES
from brainnet.ridge import RidgeCV
from brainnet.run.names import read_renames, renamed, with_regions
from brainnet.space import BrainSpace
from tests.run.encodings import Blur, run_grid, save_subject


@pytest.mark.parametrize("words", [["V1"], ["=V1"], ["V1="], ["a= "], ["a=b", "a=c"]])
def test_words_that_rename_nothing_are_refused(words):
    with pytest.raises(ValueError, match="--rename"):
        read_renames(words)


def test_names_that_are_not_there_or_taken_are_refused():
    with pytest.raises(ValueError, match=r"'v1', which is not here\. Did you mean 'V1'\?"):
        renamed({"v1": "x"}, {"V1": 1}, {"net": 2})
    with pytest.raises(ValueError, match="two things the name 'V2'"):
        renamed({"V1": "V2"}, {"V1": 1, "V2": 2})
    assert renamed({"V1": "V2", "V2": "V1"}, {"V1": 1, "V2": 2}) == ({"V2": 1, "V1": 2},)  # names may be exchanged
    assert renamed({"x": "net"}, {"x": 1}, {"net": 2}) == (
        {"net": 1},
        {"net": 2},
    )  # in two groups


def test_regions_of_every_kind_of_space_are_renamed():
    v1 = torch.tensor([True, False])
    volume = torch.zeros(2, 2, 2, dtype=torch.bool)
    volume[0, 0] = True
    for space in (
        BrainSpace.free(2, {"V1": v1}),
        BrainSpace(vertices=torch.tensor([7, 10249]), mesh="fsaverage5", rois={"V1": v1}),
        BrainSpace(mask=volume, affine=torch.eye(4), rois={"V1": v1}),
    ):
        found = with_regions(space, {"V1": "primary", "net": "other"})
        assert list(found.rois) == ["primary"]
        assert found.rois["primary"].tolist() == [True, False]
        assert list(space.rois) == ["V1"]
        assert found.n_voxels == 2


def test_encodings_are_renamed_without_being_fitted_again(tmp_path, monkeypatch):
    folder = save_subject(tmp_path / "subj01", 1)
    with BACKBONES.temporarily("toy", Blur):
        plain = run_grid(folder, tmp_path / "out", layers=["b"])
        monkeypatch.setattr(RidgeCV, "fit", None)
        found = run_grid(folder, tmp_path / "out", layers=["b"], rename={"toy": "My net", "V1": "primary"})
        with pytest.raises(ValueError, match=r"'V2', which is not here.* Here are toy, V1, V4"):
            run_grid(folder, tmp_path / "out", layers=["b"], rename={"V2": "x"})
    assert set(found.table["roi"]) == {"all", "primary", "V4"}
    assert set(found.table["model"]) == {"", "My net"}
    assert found.table["mean"].tolist() == plain.table["mean"].tolist()
    assert "primary" in (tmp_path / "out" / "encoding.csv").read_text()
    assert "My net" in (tmp_path / "out" / "significance.csv").read_text()
    assert "primary" in (tmp_path / "out" / "figures" / "scores_subj01.svg").read_text()


def test_comparisons_of_rdms_are_renamed(files, invoke, tmp_path):
    words = ("--model", files / "net.npz", "--rename", "brain_V1=V1", "--rename", "net=My net", "--quiet")
    brain = (files / "brain_V1.npz", files / "brain_IT.npz")
    for command, table in (("compare", "scores"), ("fit", "scores"), ("partition", "parts")):
        out = tmp_path / command
        few = ("--permutations", "20") if command != "compare" else ("--permutations", "20", "--generalise", "subjects")
        invoke("rsa", command, *brain, *words, *few, "--out", out, "--format", "pdf")
        found = pd.read_csv(out / f"{table}.csv")
        assert list(dict.fromkeys(found["roi"])) == ["V1", "brain_IT"]
        assert "My net" in (out / f"{table}.csv").read_text()
        kinds = {path.suffix for path in out.iterdir()}
        assert ".pdf" in kinds
        assert not kinds & {".png", ".svg"}
    with pytest.raises(AssertionError, match="brain_V2"):
        invoke("rsa", "compare", *brain, "--rename", "brain_V2=x", "--out", tmp_path / "no")
    assert not (tmp_path / "no").exists()
