from __future__ import annotations

import nibabel
import numpy as np
import pandas as pd
import pytest
import torch

from brainnet.rsa import RDMs, rdm, searchlight
from brainnet.rsa.search.neighbourhoods import Neighbourhoods
from brainnet.run.maps.best_models import draw_best_models, read_groups
from brainnet.space import surface_space


def test_groups_are_read_from_texts():
    assert read_groups(["2D=a, b"]) == {"a": "2D", "b": "2D"}
    for wrong in (["2D"], ["=a"], ["2D=a", "3D=a"]):
        with pytest.raises(ValueError, match="group"):
            read_groups(wrong)


def test_a_searchlight_has_a_map(tmp_path, rng, invoke):
    space = surface_space(torch.arange(40))
    shape = torch.randn(10, 4, generator=rng)
    data = torch.randn(10, 40, generator=rng) + shape @ torch.randn(4, 40, generator=rng)
    models = RDMs(torch.cat([rdm(shape).values, torch.rand(1, 45, generator=rng)]), names=("planted", "other"))
    places = Neighbourhoods.from_lists([torch.arange(max(0, i - 5), min(40, i + 5)) for i in range(40)], space)
    maps = searchlight(data, models, places, progress=False, n_permutations=19, generator=rng)
    maps.save(tmp_path)
    said = invoke("plot", tmp_path, "--best-model", "--alpha", 1, "--group", "2D=planted", "--group", "3D=other",
                  "--format", "png")  # fmt: skip
    assert "best_model.png" in said
    assert (tmp_path / "best_model.png").is_file()
    with pytest.raises(ValueError, match="'other'"):
        draw_best_models(tmp_path, groups={"planted": "2D"})


def test_an_rsa_has_bars_and_with_an_atlas_a_map(tmp_path, files, invoke):
    invoke("rsa", "compare", files / "brain_V1.npz", files / "brain_IT.npz", "-m", files / "net.npz", "--out",
           tmp_path / "rsa", "--permutations", 20)  # fmt: skip
    regions = pd.read_csv(tmp_path / "rsa/scores.csv")["roi"].unique()
    for side, kind in (("lh", "CortexLeft"), ("rh", "CortexRight")):
        labels = np.repeat([1, 2], 321).astype(np.int32)
        image = nibabel.GiftiImage(meta=nibabel.gifti.GiftiMetaData({"AnatomicalStructurePrimary": kind}))
        for key, name in enumerate(regions, 1):
            label = nibabel.gifti.GiftiLabel(key)
            label.label = name
            image.labeltable.labels.append(label)
        image.add_gifti_data_array(nibabel.gifti.GiftiDataArray(labels, intent="NIFTI_INTENT_LABEL"))
        nibabel.save(image, tmp_path / f"{side}.toy.label.gii")
    paths = draw_best_models(tmp_path / "rsa", tmp_path / "figures", atlas=tmp_path / "lh.toy.label.gii", alpha=1)
    assert {path.name for path in paths} >= {"top_models.png", "best_model.png"}
    with pytest.raises(FileNotFoundError, match=r"searchlight\.json"):
        draw_best_models(tmp_path)


def test_an_encoding_has_bars_and_maps_of_its_networks(tmp_path):
    from brainnet.dataset import ArrayDataset
    from brainnet.encode import Encoding, Fit, FitKey

    rng = torch.Generator().manual_seed(0)
    space = surface_space(torch.arange(30), rois={"V1": torch.arange(30) < 15, "IT": torch.arange(30) >= 15})
    responses = torch.randn(60, 30, generator=rng)
    data = ArrayDataset(
        torch.rand(60, 3, 4, 4, generator=rng), responses, space=space, noise_ceiling=torch.full((30,), 0.9),
        splits={"train": range(30), "val": range(30, 40), "test": range(40, 60)},
    )  # fmt: skip
    encoding = Encoding({"s1": data})
    noise = {"a": torch.where(space.rois["V1"], 0.3, 3.0), "b": torch.where(space.rois["V1"], 3.0, 0.3)}
    for name, size in noise.items():
        predicted = responses[40:] + size * torch.randn(20, 30, generator=rng)
        encoding.add(FitKey(name, "s1", "ridge", "all"), Fit({"test": predicted}, torch.full((30,), 0.5), {}))
    encoding.save(tmp_path)
    names = {path.name for path in draw_best_models(tmp_path)}
    assert names >= {"best_model.png", "top_models.png"}
    with pytest.raises(ValueError, match="'rigde'.*ridge"):
        draw_best_models(tmp_path, method="rigde")
    assert isinstance(pd.read_csv(tmp_path / "encoding.csv"), pd.DataFrame)
