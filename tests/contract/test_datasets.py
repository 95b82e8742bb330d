"""One battery for every dataset: what a loop over ``DATASETS`` may rely on."""

from __future__ import annotations

import copy
import pickle
import sys
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.config import load_config
from brainnet.dataset import DATASETS, ResponseDataset, TimeSeries
from brainnet.dataset.rdm_sets import holds_rdms
from brainnet.plmodel import build_dataset
from brainnet.stimuli import kind_of
from brainnet.tokens import Preprocessing
from tests.dataset.readers.algonauts_folder import write_algonauts_folder
from tests.dataset.readers.bids_folder import write_bids
from tests.dataset.readers.brainscore_folder import write_brainscore
from tests.dataset.readers.fmri_folders import write_bold5000, write_god, write_vim1
from tests.dataset.readers.laion_folder import write_laion
from tests.dataset.readers.moments_folder import write_moments
from tests.dataset.readers.neuralset_stand_in import events, stand_in, write_study
from tests.dataset.readers.nsd_folder import write_imagery, write_synthetic, write_volume
from tests.dataset.readers.test_algonauts2025 import write_algonauts2025
from tests.dataset.readers.test_cowley_v4 import write_session
from tests.dataset.readers.test_lebel import write_lebel
from tests.dataset.readers.test_lepetitprince import write_lepetitprince
from tests.dataset.readers.test_nsd872 import write_nsd872
from tests.dataset.readers.test_pereira2018 import write_pereira2018
from tests.dataset.readers.test_time_series import write_series
from tests.dataset.readers.things_eeg_folder import write_things_eeg2
from tests.dataset.readers.things_folder import write_things
from tests.toy_words import WordVectors


class Filters:
    """A backbone small enough for the battery."""

    preprocessing = Preprocessing(size=(32, 32))

    def get_tokens(self, images):
        filters = torch.randn(18, 3, 4, 4, generator=torch.Generator().manual_seed(0))
        local = {"0": torch.nn.functional.conv2d(images, filters, stride=4)}
        return local, {"0": local["0"].mean((2, 3))}


def _algonauts(folder):
    if not folder.exists():
        write_algonauts_folder(folder, size=16)
    return DATASETS["algonauts"](folder, resolution=(24, 24))


def _array(folder):
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (15, 20, 16, 3), dtype=np.uint8)
    return DATASETS["array"](pixels, repeats=generator.normal(size=(15, 6, 4)) + np.arange(15)[:, None, None])


def _bids(folder):
    if not folder.exists():
        write_bids(folder)
    return DATASETS["bids"](folder, test=3, val=1)


def _nsd(folder):
    if not folder.exists():
        write_volume(folder, n_sessions=1, n_places=80)
    return DATASETS["nsd"](folder, space="func1pt8mm", version="betas_fithrf", progress=False)


def _beside_nsd(name, write, folder):
    if not folder.exists():
        write_volume(folder, n_sessions=1, n_places=80)
        write(folder)
    return DATASETS[name](folder, space="func1pt8mm", version="betas_fithrf", progress=False)


def _simulated(folder):
    return DATASETS["simulated"](0, 30, 4, 6, backbone=Filters(), n_voxels=20, progress=False)


def write_freemanziemba(folder):
    return write_brainscore(folder, name="assy_movshon_FreemanZiemba2013.nc", n_bins=15)


# writes what the settings alone read
WRITE = {
    "bold5000": write_bold5000,
    "boldmoments": write_moments,
    "brainscore": write_brainscore,
    "cowley_v4": write_session,
    "freemanziemba": write_freemanziemba,
    "god": write_god,
    "laion_fmri": write_laion,
    "majajhong": write_brainscore,
    "nsd872": write_nsd872,
    "things_eeg": write_things_eeg2,
    "things_fmri": write_things,
    "vim1": write_vim1,
}


def _written(name, folder):
    if name in ("brainscore", "freemanziemba", "majajhong"):
        pytest.importorskip("netCDF4")
    if not folder.exists():
        WRITE[name](folder)
    return DATASETS[name](folder)


def _recorded(folder):
    """The events of a study of neuralset, as a stand-in for the package gives them."""
    return stand_in(events(write_study(folder), ("01",)).drop(columns="split"))


def _neuralset(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "neuralset", _recorded(folder))
        return DATASETS["neuralset"](folder, "Toy2026", test=2, val=1)


def _things_meg(folder):
    module = pytest.importorskip("tests.dataset.readers.test_things_meg")
    if not folder.exists():
        module.write_things_meg(folder)
    return DATASETS["things_meg"](folder, progress=False)


def _series(folder):
    if not folder.exists():
        write_series(folder)
    return DATASETS["time_series"](folder, 2.0, test="r10", val="r2")


def _lebel(folder):
    if not folder.exists():
        write_lebel(folder)
    return DATASETS["lebel"](folder, val="souls")


def _algonauts2025(folder):
    if not folder.exists():
        write_algonauts2025(folder)
    return DATASETS["algonauts2025"](folder, val="bourne*")


def _lepetitprince(folder):
    if not folder.exists():
        write_lepetitprince(folder)
    return DATASETS["lepetitprince"](folder, test="section3", val="section2")


def _pereira2018(folder):
    if not folder.exists():
        write_pereira2018(folder)
    return DATASETS["pereira2018"](folder, test=2, val=1)


def _simulated_series(folder):
    return DATASETS["simulated_series"](WordVectors(), n_sentences=180, n_voxels=10)


def has_images(dataset):
    return not isinstance(dataset, TimeSeries) and kind_of(getattr(dataset, "images", None)) == "image"


def with_images(dataset):
    """Skips what volumes of a time series, and sentences, have not."""
    if not has_images(dataset):
        pytest.skip("its rows are no images")


TINY = {
    "lepetitprince": _lepetitprince,
    "pereira2018": _pereira2018,
    "simulated_series": _simulated_series,
    "algonauts2025": _algonauts2025,
    "lebel": _lebel,
    "time_series": _series,
    "algonauts": _algonauts,
    "array": _array,
    "bids": _bids,
    "neuralset": _neuralset,
    "nsd": _nsd,
    "nsd_imagery": partial(_beside_nsd, "nsd_imagery", write_imagery),
    "nsd_synthetic": partial(_beside_nsd, "nsd_synthetic", write_synthetic),
    "simulated": _simulated,
    "things_meg": _things_meg,
    **{name: partial(_written, name) for name in WRITE},
}


OF_RESPONSES = [name for name in DATASETS.names() if not holds_rdms(DATASETS[name])]


@pytest.fixture(scope="module", params=OF_RESPONSES)
def make(request, tmp_path_factory):
    """A function that makes a tiny instance of one registered dataset, the same one each time."""
    assert request.param in TINY, f"give dataset {request.param!r} a tiny instance here"
    folder = tmp_path_factory.mktemp(request.param) / "data"
    return lambda: TINY[request.param](folder)


@pytest.fixture(scope="module")
def dataset(make):
    return make()


def test_rows_are_images_and_columns_are_places(dataset):
    n_images, n_voxels = dataset.responses.shape
    assert dataset.responses.dtype == torch.float32
    assert dataset.responses.device.type == "cpu"
    assert len(dataset) == n_images == len(dataset.image_ids) == len(set(dataset.image_ids))
    assert all(isinstance(name, str) for name in dataset.image_ids)
    assert dataset.space.n_voxels == dataset.n_voxels == n_voxels
    assert dataset.usable.shape == (n_voxels,)


def test_splits_are_disjoint_and_within_range(dataset):
    assert list(dataset.splits)[:3] == ["train", "val", "test"]
    rows = torch.cat(list(dataset.splits.values()))
    assert all(part.dtype == torch.long and len(part) for part in dataset.splits.values())
    assert len(rows.unique()) == len(rows)
    assert rows.min() >= 0
    assert rows.max() < len(dataset)


def test_images_are_rgb_and_become_tensors(dataset):
    with_images(dataset)
    image = dataset.load_image(0)
    assert image.mode == "RGB"
    assert dataset.image(0, Preprocessing(size=(8, 12))).shape == (3, 8, 12)
    tensor, response = dataset[len(dataset) - 1]
    assert tensor.dtype == response.dtype == torch.float32
    assert tensor.shape[0] == 3
    assert torch.equal(response, dataset.responses[-1])
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_the_ceiling_is_an_r_with_a_definition(dataset):
    assert dataset.noise_ceiling_definition
    assert dataset.n_repeats >= 1
    if dataset.noise_ceiling is not None:
        assert dataset.noise_ceiling.shape == (dataset.n_voxels,)
        assert bool(((dataset.noise_ceiling >= 0) & (dataset.noise_ceiling <= 1)).all())
        assert "K = " in dataset.noise_ceiling_definition


def test_making_it_again_gives_the_same_and_moves_no_global_generator(dataset, make):
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    again = make()
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert again.image_ids == dataset.image_ids
    assert torch.equal(again.responses, dataset.responses)
    assert all(torch.equal(again.splits[name], rows) for name, rows in dataset.splits.items())
    if has_images(dataset):
        assert torch.equal(again.image(3), dataset.image(3))


def test_it_travels_to_other_processes(dataset):
    with_images(dataset)
    copy = pickle.loads(pickle.dumps(dataset))
    assert torch.equal(copy.image(2), dataset.image(2))
    assert torch.equal(copy.responses, dataset.responses)
    loader = torch.utils.data.DataLoader(dataset, batch_size=4, num_workers=2, timeout=120)
    images = torch.cat([batch[0] for batch in loader])
    assert torch.equal(images, torch.stack([dataset.image(i) for i in range(len(dataset))]))


def test_every_picture_counts_in_its_signature(dataset, make):
    with_images(dataset)
    again = make()
    assert dataset.signature() == again.signature()
    other = copy.copy(dataset)
    other.images = None
    drawn = dataset.load_image
    other.load_image = lambda i: drawn(i).point(lambda value: 255 - value) if i == 2 else drawn(i)
    twin = copy.copy(other)
    twin.load_image = drawn
    ask = ResponseDataset.signature
    assert ask(other) != ask(twin)  # of a data set that does not know its own


def test_tokens_are_known_to_it_or_not(dataset):
    assert dataset.known_tokens({"name": "nobody's", "weights": "none"}) is None


def _from_config(name, folder):
    """The settings that describe the tiny instance, its files written where they are read from."""
    if name == "algonauts":
        write_algonauts_folder(folder, size=16)
        return ["DATASET.RESOLUTION", "(24,24)"]
    if name == "array":
        folder.mkdir()
        generator = np.random.default_rng(0)
        (folder / "images").mkdir()
        for i in range(15):
            Image.fromarray(generator.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(
                folder / "images" / f"{i}.png"
            )
        np.save(folder / "responses.npy", generator.normal(size=(15, 6)))
        return ["DATASET.OPTIONS.test", "0.3"]
    if name == "bids":
        write_bids(folder)
        return ["DATASET.OPTIONS", "{'glm': {'model': 'lsa'}, 'test': 3, 'val': 1}"]
    if name == "neuralset":
        return ["DATASET.OPTIONS", "{'study': 'Toy2026', 'test': 2, 'val': 1}"]
    if name in ("nsd", "nsd_imagery", "nsd_synthetic"):
        TINY[name](folder)
        return ["DATASET.OPTIONS", "{'space': 'func1pt8mm', 'version': 'betas_fithrf', 'sessions': 1}"]
    if name == "things_meg":
        _things_meg(folder)
        return []
    if name == "time_series":
        write_series(folder)
        return ["DATASET.OPTIONS", "{'tr': 2.0, 'test': 'r10', 'val': 'r2', 'block': 20.0}"]
    if name == "algonauts2025":
        write_algonauts2025(folder)
        return ["DATASET.OPTIONS", "{'val': 'bourne*', 'block': 20.0}"]
    if name == "lepetitprince":
        write_lepetitprince(folder)
        return ["DATASET.OPTIONS", "{'test': 'section3', 'val': 'section2', 'block': 20.0}"]
    if name == "pereira2018":
        write_pereira2018(folder)
        return ["DATASET.OPTIONS", "{'test': 2, 'val': 1}"]
    if name == "simulated_series":
        return ["DATASET.OPTIONS", "{'n_sentences': 180, 'n_voxels': 10}"]
    if name == "lebel":
        write_lebel(folder)
        return ["DATASET.OPTIONS", "{'val': 'souls', 'block': 20.0}"]
    if name in WRITE:
        WRITE[name](folder)
        return []
    return ["DATASET.N_TRAIN", "20", "DATASET.N_TEST", "5", "DATASET.N_VOXELS", "10", "DATASET.OPTIONS.n_val", "4",
            "BACKBONE.NAME", "expansion:small"]  # fmt: skip


@pytest.mark.parametrize("name", OF_RESPONSES)
def test_it_is_built_from_the_config_by_name(name, tmp_path, monkeypatch):
    folder = tmp_path / "data"
    if name == "neuralset":
        monkeypatch.setitem(sys.modules, "neuralset", _recorded(folder))
    words = ["DATASET.NAME", name, "DATASET.DATA_DIR", str(folder), "SEED", "3", *_from_config(name, folder)]
    backbone = {"simulated": Filters, "simulated_series": WordVectors}.get(name, lambda: None)()
    built = build_dataset(load_config(None, words), backbone)
    assert type(built) is DATASETS[name]
    assert torch.equal(built.responses, build_dataset(load_config(None, words), backbone).responses)
    assert all(len(rows) for rows in built.splits.values())
    control = build_dataset(load_config(None, [*words, "DATASET.SHUFFLED", "True"]), backbone)
    assert control.is_shuffled
    assert not torch.equal(control.responses, built.responses)
    with pytest.raises(ValueError, match="nonesuch"):
        build_dataset(load_config(None, [*words, "DATASET.OPTIONS.nonesuch", "1"]), backbone)


def test_it_says_what_it_is(dataset):
    size = (
        f"{dataset.n_voxels} voxels"
        if isinstance(dataset, TimeSeries)
        else f"{len(dataset)} images, {dataset.n_voxels}"
    )
    assert size in repr(dataset)
