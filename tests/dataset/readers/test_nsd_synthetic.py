"""NSD-synthetic beside NSD: its own betas, pictures and ceiling, as a split that is never trained on."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat

from brainnet.dataset.readers.nsd import NSD
from brainnet.dataset.readers.nsd_synthetic import NSDSynthetic
from tests.dataset.readers.nsd_folder import GRID, write_synthetic, write_volume

OPTIONS = {"space": "func1pt8mm", "version": "betas_fithrf", "progress": False}
BETAS = "nsddata_betas/ppdata/subj01/func1pt8mm/nsdsyntheticbetas_fithrf/betas_nsdsynthetic.hdf5"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    root = tmp_path_factory.mktemp("nsd")
    write_volume(root, n_sessions=1, n_places=80)
    return root, *write_synthetic(root)


def test_synthetic_pictures_are_a_split_after_those_of_nsd(planted):
    root, order, betas = planted
    core, both = NSD(root, **OPTIONS), NSDSynthetic(root, **OPTIONS)
    n = len(core)
    assert both.image_ids[:n] == core.image_ids
    assert torch.equal(both.responses[:n], core.responses)
    assert all(torch.equal(both.splits[name], rows) for name, rows in core.splits.items())
    assert torch.equal(both.splits["synthetic"], torch.arange(n, n + 284))
    z = (betas - betas.mean(0)) / betas.std(0)
    first = list(dict.fromkeys(order.tolist()))
    means = np.stack([z[order == row].mean(0) for row in first])
    np.testing.assert_allclose(both.responses[n:], means, atol=2e-4)
    names = [f"nsdsynthetic-{row:03d}" if row < 220 else f"nsdsynthetic-subj01-{row:03d}" for row in first]
    assert both.image_ids[n:] == names
    assert both.groups.tolist() == [*core.groups.tolist(), *([0] * 284)]


def test_it_has_a_ceiling_of_its_own(planted):
    root, order, _ = planted
    both = NSDSynthetic(root, **OPTIONS)
    counts = np.bincount(order, minlength=284)
    q = both.synthetic_trials.ncsnr
    expected = (q**2 / (q**2 + float((1 / counts).mean()))).sqrt()
    torch.testing.assert_close(both.ceiling_of("synthetic").double(), expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(both.noise_ceiling, NSD(root, **OPTIONS).noise_ceiling)


def test_pictures_come_from_the_file_their_number_says(planted):
    both = NSDSynthetic(planted[0], **OPTIONS)
    for name, red, green in (("nsdsynthetic-007", 7, 1), ("nsdsynthetic-subj01-223", 3, 2)):
        picture = both.load_image(both.image_ids.index(name))
        assert picture.getpixel((0, 0)) == (red, green, 9)
    assert both.load_image(0).getpixel((0, 0))[2] == 7
    assert both.signature() != NSD(planted[0], **OPTIONS).signature()


def test_a_split_of_the_872_shared_images(planted):
    data = NSD(planted[0], split="shared872", **OPTIONS)
    assert len(data.splits["test"]) == 60  # all shared images came in the first session of this folder
    assert len(data.splits["train"]) == len(data) - 60


def _betas(change):
    def damage(root):
        with h5py.File(root / BETAS, "r+") as file:
            values = file["betas"][()]
            del file["betas"]
            file["betas"] = change(values)

    return damage


DESIGN = "nsddata/experiments/nsdsynthetic/nsdsynthetic_expdesign.mat"
PICTURES = "nsddata_stimuli/stimuli/nsdsynthetic/nsdsynthetic_stimuli.hdf5"


def test_pictures_of_two_sizes_are_told(tmp_path):
    write_volume(tmp_path, n_sessions=1, n_places=80)
    write_synthetic(tmp_path)
    path = tmp_path / "nsddata_stimuli/stimuli/nsdsynthetic/nsdsynthetic_colorstimuli_subj01.hdf5"
    with h5py.File(path, "r+") as file:
        pixels = file["imgBrick"][:, :-1]
        del file["imgBrick"]
        file["imgBrick"] = pixels
    with pytest.warns(UserWarning, match=r"nsdsynthetic_stimuli.hdf5 of 30 x 20 and nsdsynthetic_color.* of 30 x 19"):
        NSDSynthetic(tmp_path, **OPTIONS)


DAMAGES = {
    "no design": (lambda r: (r / DESIGN).unlink(), FileNotFoundError, "nsdsynthetic_expdesign"),
    "a design of nsd": (lambda r: savemat(r / DESIGN, {"masterordering": np.ones((1, 750))}), ValueError, "744 trials"),
    "a design from 0": (lambda r: savemat(r / DESIGN, {"masterordering": np.zeros((1, 744))}), ValueError, "1 to 284"),
    "no betas": (lambda r: (r / BETAS).unlink(), FileNotFoundError, "betas_nsdsynthetic"),
    "betas of other trials": (_betas(lambda a: a[:700]), ValueError, "betas_nsdsynthetic.hdf5 has shape"),
    "betas as floats": (_betas(lambda a: a.astype(float)), ValueError, "betas_nsdsynthetic.hdf5 holds float64"),
    "no pictures": (lambda r: (r / PICTURES).unlink(), FileNotFoundError, "it holds 220 pictures"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_one_wrong_file(tmp_path, name):
    write_volume(tmp_path, n_sessions=1, n_places=80)
    write_synthetic(tmp_path)
    damage, error, words = DAMAGES[name]
    damage(tmp_path)
    with pytest.raises(error, match=words) as refused:
        NSDSynthetic(tmp_path, **OPTIONS)
    assert "\n" not in str(refused.value)
    assert GRID == (6, 5, 4)
