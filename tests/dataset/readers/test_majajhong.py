"""Majaj and Hong's recordings, as Brain-Score has them and as averages; a planted map is found again."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from brainnet.config import load_config
from brainnet.dataset import DATASETS
from brainnet.dataset.readers.majajhong import MajajHong
from brainnet.encode import encode
from brainnet.plmodel import build_dataset
from brainnet.store import TokenStore
from tests.dataset.readers.brainscore_folder import write_assembly, write_brainscore, write_stimuli
from tests.dataset.readers.test_things_eeg import TwoLayers

pytest.importorskip("netCDF4")


def test_the_public_assembly_is_found_beside_others(tmp_path):
    planted = write_brainscore(tmp_path / "data")
    (planted.root / "assy_dicarlo_MajajHong2015_private.nc").write_bytes(b"")
    data = MajajHong(planted.root, progress=False)
    assert data.n_voxels == 6
    assert set(data.space.rois) == {"V4", "IT", "Chabo", "Tito"}
    assert data.noise_ceiling.isfinite().all()
    words = ["DATASET.DATA_DIR", str(planted.root), "DATASET.OPTIONS", "{'where': {'region': 'V4'}}"]
    built = build_dataset(load_config("majajhong", words))
    assert type(built) is DATASETS["majajhong"] is MajajHong
    assert built.n_voxels == 2


@pytest.fixture
def averages(tmp_path):
    """Four files of averages in orders of their own, and the ids of both splits."""
    planted = write_brainscore(tmp_path / "whole")
    root = tmp_path / "averages"
    root.mkdir()
    generator = np.random.default_rng(5)
    expected = {}
    for animal in ("Chabo", "Tito"):
        for region in ("IT", "V4"):
            order = generator.permutation(20)
            values = generator.normal(size=(20, 3)).astype(np.float32)
            coords = {"stimulus_id": ("stimulus_id", np.array([planted.ids[place] for place in order]))}
            path = root / f"SUBJECT_{animal}_REGION_{region}"
            write_assembly(path, values, ("stimulus_id", "neuroid"), coords, name="x")
            expected[animal, region] = {planted.ids[p]: row for p, row in zip(order, values, strict=True)}
    write_stimuli(root, planted.ids, planted.files, zipped=False)
    for name, ids in (("majaj_train_ids", planted.ids[4:]), ("majaj_test_ids", planted.ids[:4])):
        (root / name).write_bytes(pickle.dumps(np.array(ids, dtype=object)))
    return root, expected, planted


def test_files_of_averages_stand_side_by_side(averages):
    root, expected, planted = averages
    data = MajajHong(root, split="published", val=2, progress=False)
    assert data.image_ids == sorted(planted.ids)
    for (animal, region), of in expected.items():
        inside = data.space.rois[animal] & data.space.rois[region]
        np.testing.assert_allclose(data.responses[:, inside], [of[one] for one in data.image_ids], atol=1e-6)
    assert {data.image_ids[row] for row in data.splits["test"]} == set(planted.ids[:4])
    assert {split: len(rows) for split, rows in data.splits.items()} == {"train": 14, "val": 2, "test": 4}
    assert data.noise_ceiling is None
    assert data.noise_ceiling_definition.startswith("none")
    assert MajajHong(root, where={"region": "IT"}, progress=False).n_voxels == 6
    with pytest.raises(ValueError, match="V1"):
        MajajHong(root, where={"region": "V1"}, progress=False)


def test_pictures_without_a_table_are_found_by_the_id_in_their_name(averages):
    root, _, planted = averages
    (root / "image_dicarlo_hvm-public.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"no \.csv"):
        MajajHong(root, progress=False)
    folder = root / "image_dicarlo_hvm-public"
    for one, file in zip(planted.ids, planted.files, strict=True):
        (folder / file).rename(folder / file.replace("256x256", f"{one}_256x256"))
    data = MajajHong(root, progress=False)
    assert data.images.ids[3].split("_")[-2] == data.image_ids[3]


def test_wrong_lists_and_other_stimuli_are_one_line(averages):
    root, _, planted = averages
    (root / "majaj_test_ids").write_bytes(pickle.dumps(np.array(["face"], dtype=object)))
    with pytest.raises(ValueError, match="majaj_test_ids.*'face'"):
        MajajHong(root, split="published", progress=False)
    (root / "majaj_test_ids").unlink()
    with pytest.raises(FileNotFoundError, match="majaj_test_ids"):
        MajajHong(root, split="published", progress=False)
    coords = {"stimulus_id": ("stimulus_id", np.array([*planted.ids[:19], "odd"]))}
    write_assembly(root / "SUBJECT_Tito_REGION_V4", np.zeros((20, 3)), ("stimulus_id", "neuroid"), coords, name="x")
    with pytest.raises(ValueError, match="SUBJECT_Tito_REGION_V4.*other stimuli"):
        MajajHong(root, progress=False)
    with pytest.raises(ValueError, match="'published'"):
        MajajHong(root, split="publisht", progress=False)


def test_a_planted_map_of_layers_is_found_again(tmp_path):
    options = {"n_stimuli": 120, "n_neuroids": 9, "repeats": 3, "noise": 0.4}
    made = write_brainscore(tmp_path / "data", **options)
    data = MajajHong(made.root, progress=False)
    store = TokenStore.build(TwoLayers(), data, progress=False)
    generator = torch.Generator().manual_seed(1)
    drive = {}
    for layer in ("early", "late"):
        features = store.features(layer).flatten(1)
        features = (features - features.mean(0)) / features.std(0)
        weights = torch.randn(features.shape[1], 9, generator=generator)
        drive[layer] = (features @ weights / features.shape[1] ** 0.5).numpy()
    is_late, row = made.region == "IT", {one: n for n, one in enumerate(data.image_ids)}
    signal = {file: np.where(is_late, drive["late"][row[one]], drive["early"][row[one]])[:, None]
              for one, file in zip(made.ids, made.files, strict=True)}  # fmt: skip
    data = MajajHong(write_brainscore(tmp_path / "data", signal, **options).root, progress=False)
    found = encode(store, data, n_resamples=5, progress=False)
    best, layers = found.best_layers("model", "subject")
    assert np.array_equal(np.array(layers)[best.numpy()] == "late", data.space.rois["IT"])
