from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.run.maps.exporting import export, maps_of
from brainnet.space import read_maps


def test_a_run_is_exported_in_every_format_of_surfaces(mapped, invoke, tmp_path):
    said = invoke(
        "export", mapped[0], "-f", "gifti", "-f", "cifti", "-f", "csv", "-f", "pycortex", "--out", tmp_path / "out"
    )
    assert "maps.dscalar.nii" in said
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"maps.L.func.gii", "maps.R.func.gii", "maps_layer.L.label.gii", "maps.dlabel.nii", "maps.csv",
                     "maps.npz", "run.json"}  # fmt: skip
    chosen = mapped[4].get_selectors()
    found = read_maps(tmp_path / "out/maps.dscalar.nii")
    assert torch.allclose(found.values["scale"], chosen.scale[:, 0])
    assert set(found.space.rois) == {"early", "late", "none"}
    labels = read_maps(tmp_path / "out/maps_layer.L.label.gii")
    assert torch.equal(labels.values["layer"], chosen.layer.argmax(1))


def test_some_maps_and_what_is_not_there(mapped, tmp_path):
    paths = export(mapped[0], tmp_path / "out", maps=["r"])
    assert [path.name for path in paths] == ["maps.L.func.gii", "maps.R.func.gii"]
    with pytest.raises(ValueError, match="'depht'.*'depth'"):
        export(mapped[0], tmp_path / "other", maps=["depht"])
    with pytest.raises(FileNotFoundError, match="no maps"):
        export(tmp_path, tmp_path / "nothing")


def test_searchlights_and_encodings_have_a_map_for_each_model(tmp_path, rng):
    from brainnet.rsa.search.maps import SearchlightMaps, best_of
    from brainnet.space import surface_space

    score = torch.rand(2, 20, generator=rng)
    margin = (score[0] - score[1]).abs()
    maps = SearchlightMaps(("a", "b"), score, None, best_of(score), margin, None, torch.full((20,), 5),
                           surface_space(torch.arange(20)))  # fmt: skip
    maps.save(tmp_path)
    found = maps_of(tmp_path)["searchlight"]
    assert set(found.values) == {"score a", "score b", "best model", "lead"}
    assert torch.equal(found.values["best model"], score.argmax(0))
    assert np.allclose(found.values["lead"], margin)
