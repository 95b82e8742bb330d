"""Sets of RDMs: their conditions are their pictures, they are compared with models, and nothing is fitted to them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from brainnet.cli.app import app
from brainnet.config import load_config
from brainnet.dataset import DATASETS, ArrayDataset, RDMSet
from brainnet.dataset.checking import check_folder, summary_of
from brainnet.dataset.rdm_sets import holds_rdms
from brainnet.plmodel import build_dataset
from brainnet.rsa import RDMs, noise_ceiling
from brainnet.run.encoding.encoding import encode_subjects
from brainnet.run.rsa.rsa import compare_rdms
from brainnet.stimuli import Images

IDS = [f"im{n}" for n in range(12)]


class Toy(RDMSet):
    """Four people whose RDMs follow one of theirs, in two regions.

    Args:
        shift: added to all.
    """

    def __init__(self, root, *, shift: float = 0.0):
        generator = torch.Generator().manual_seed(0)
        shared = torch.rand(1, 66, generator=generator)
        rdms = {name: RDMs(shared + spread * torch.rand(4, 66, generator=generator) + shift)
                for name, spread in (("EVC", 0.3), ("IT", 1.0))}  # fmt: skip
        pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), dtype=np.uint8)
        super().__init__(IDS, rdms, Images(pixels, IDS))


@pytest.fixture
def toy():
    with DATASETS.temporarily("toy", Toy):
        yield Toy("")


def test_conditions_are_pictures_and_people_are_the_axis(toy):
    assert toy.rdms["IT"].conditions == tuple(IDS)
    assert toy.rdms["IT"].axes == {"subject": ("0", "1", "2", "3")}
    assert toy.noise_ceiling("IT") == noise_ceiling(toy.rdms["IT"])
    assert toy.load_image(3).size == (8, 8)
    assert len(toy) == 12
    with pytest.raises(ValueError, match="'TI'.*Known: EVC, IT"):
        toy.noise_ceiling("TI")


@pytest.mark.parametrize(
    ("rdms", "words"),
    [(RDMs(torch.rand(2, 15)), "IT are over 6 pictures; expected 12"),
     (RDMs(torch.rand(2, 66), conditions=IDS[::-1]), "IT.*order")],
)  # fmt: skip
def test_rdms_of_other_pictures_are_refused(rdms, words):
    with pytest.raises(ValueError, match=words):
        RDMSet(IDS, {"IT": rdms})


def test_a_set_without_pictures_says_so():
    bare = RDMSet(IDS, {"IT": RDMs(torch.rand(1, 66))})
    with pytest.raises(ValueError, match="no pictures"):
        bare.load_image(0)
    assert bare.summary()["ceiling, Spearman"] == {}
    with pytest.raises(ValueError, match="2 pictures for 12"):
        RDMSet(IDS, {}, Images(np.zeros((2, 4, 4, 3), np.uint8)))


def test_models_are_compared_by_name_of_the_set(toy, tmp_path):
    model = RDMs(toy.rdms["IT"].values[:1], names=("low",), conditions=IDS)
    model.save(tmp_path / "net.npz")
    found = compare_rdms([f"toy={tmp_path}"], tmp_path / "out", models=[tmp_path / "net.npz"], progress=False)
    expected = toy.compare({"net": model}, progress=False).table
    pd.testing.assert_series_equal(found["scores"]["score"], expected["score"])
    assert found["scores"]["roi"].tolist() == ["EVC", "IT"]
    model.reorder(IDS[::-1]).save(tmp_path / "other.npz")
    with pytest.raises(ValueError, match="different orders"):
        compare_rdms([f"toy={tmp_path}"], tmp_path / "o", models=[tmp_path / "other.npz"], progress=False)
    with DATASETS.temporarily("second", Toy):
        names = compare_rdms([f"toy={tmp_path}", f"second={tmp_path}"], tmp_path / "o", progress=False)["ceilings"][
            "roi"
        ]
    assert names.tolist() == ["toy/EVC", "toy/IT", "second/EVC", "second/IT"]


def test_wrong_names_of_sets_are_one_line(toy, tmp_path):
    with pytest.raises(ValueError, match="'array' holds responses"):
        compare_rdms([f"array={tmp_path}"], tmp_path / "o")
    with pytest.raises(ValueError, match="'toy' is named twice"):
        compare_rdms([f"toy={tmp_path}"] * 2, tmp_path / "o")
    with pytest.raises(FileNotFoundError, match="tyo="):
        compare_rdms([f"tyo={tmp_path}"], tmp_path / "o")
    (tmp_path / "toy=1").mkdir()  # a folder of that very name is a folder
    toy.rdms["IT"].save(tmp_path / "toy=1" / "V1.npz")
    assert compare_rdms([tmp_path / "toy=1"], tmp_path / "o")["ceilings"]["roi"].tolist() == ["V1"]


def test_fit_and_encode_refuse_it_in_one_line(toy, tmp_path):
    words = ["DATASET.NAME", "toy", "DATASET.DATA_DIR", str(tmp_path), "BACKBONE.NAME", "expansion:small"]
    with pytest.raises(ValueError, match=f"'toy' holds RDMs.*brainnet rsa compare toy={tmp_path}") as refused:
        build_dataset(load_config(None, words))
    assert "\n" not in str(refused.value)
    with pytest.raises(ValueError, match="'toy' holds RDMs"):
        encode_subjects(load_config(None, words), tmp_path / "out", progress=False)
    ended = CliRunner().invoke(app, ["fit", *words, "--out", str(tmp_path / "run")])
    assert ended.exit_code != 0
    assert "holds RDMs" in f"{ended.output}{ended.exception}"


def test_a_check_says_what_is_in_it(toy, tmp_path):
    found = check_folder("toy", tmp_path, shift=1.0)
    assert found.is_whole
    said = summary_of(found.dataset)
    assert said["RDMs"] == {"EVC": 4, "IT": 4}
    assert said["first image"] == "im0, 8 x 8 pixels"
    assert said["ceiling, Spearman"]["IT"] == pytest.approx(noise_ceiling(toy.rdms["IT"]).upper)


def test_which_entries_hold_rdms():
    assert holds_rdms(Toy)
    assert not holds_rdms(ArrayDataset)
    assert not holds_rdms(lambda: None)
