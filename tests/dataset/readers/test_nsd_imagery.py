"""NSD-imagery beside NSD: what was seen and what was imagined, as two splits that are never trained on."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.dataset.readers.nsd import NSD
from brainnet.dataset.readers.nsd_imagery import NSDImagery
from tests.dataset.readers.nsd_folder import write_imagery, write_volume

OPTIONS = {"space": "func1pt8mm", "version": "betas_fithrf", "progress": False}
STARTS = {"visA": 0, "visB": 192, "imgA_1": 144, "imgA_2": 576, "imgB_1": 336, "imgB_2": 624}


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    root = tmp_path_factory.mktemp("nsd")
    write_volume(root, n_sessions=1, n_places=80)
    return root, *write_imagery(root)


def test_what_was_seen_and_imagined_are_two_splits(planted):
    root, shown, betas = planted
    core, both = NSD(root, **OPTIONS), NSDImagery(root, **OPTIONS)
    n = len(core)
    assert torch.equal(both.responses[:n], core.responses)
    assert list(both.splits) == ["train", "val", "test", "vision", "imagery"]
    z = (betas - betas.mean(0)) / betas.std(0)
    of_split = {"vision": (("visA", "visB"), 8), "imagery": (("imgA_1", "imgA_2", "imgB_1", "imgB_2"), 16)}
    for split, (runs, repeats) in of_split.items():
        assert len(both.splits[split]) == 12
        for row in both.splits[split].tolist():
            name, letter = both.image_ids[row].rsplit("-", 1)
            assert name == f"nsdimagery-{split}"
            trials = [STARTS[run] + place for run in runs for place, cue in enumerate(shown[run]) if cue == letter]
            assert len(trials) == repeats
            np.testing.assert_allclose(both.responses[row], z[trials].mean(0), atol=2e-4)
            assert both.load_image(row).getpixel((0, 0)) == ("HRVLPEWKBCDT".index(letter), 50, 60)
        assert both.ceiling_of(split).shape == (24,)
    assert f"K = {repeats}" in both.noise_ceiling_definition


BEHAVIOR = "nsddata/bdata/nsdimagery/nsdimagery_subj01_imgB_2.tsv"
BETAS = "nsddata_betas/ppdata/subj01/func1pt8mm/nsdimagerybetas_fithrf/betas_nsdimagery.hdf5"
DAMAGES = {
    "no betas": (lambda r: (r / BETAS).unlink(), FileNotFoundError, "betas_nsdimagery"),
    "betas truncated": (lambda r: (r / BETAS).write_bytes((r / BETAS).read_bytes()[:900]), ValueError, "nsdimagery"),
    "no conditions": (lambda r: (r / BEHAVIOR).unlink(), FileNotFoundError, "imgB_2"),
    "fewer trials": (lambda r: (r / BEHAVIOR).write_text("CONDITION\nW\n"), ValueError, "has 1 trials; expected 48"),
    "another condition": (lambda r: (r / BEHAVIOR).write_text("CONDITION\n" + 48 * "Q\n"), ValueError, "condition 'Q'"),
    "another subject": (
        lambda r: (r / BEHAVIOR).write_text((r / BEHAVIOR).read_text().replace("\n1\t", "\n2\t")),
        ValueError,
        "imgB_2.tsv is of subject '2'; expected subject 1",
    ),
    "a picture missing": (lambda r: next(r.rglob("crs_045*")).unlink(), FileNotFoundError, "crs_045"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_one_wrong_file(tmp_path, name):
    write_volume(tmp_path, n_sessions=1, n_places=80)
    write_imagery(tmp_path)
    damage, error, words = DAMAGES[name]
    damage(tmp_path)
    with pytest.raises(error, match=words) as refused:
        NSDImagery(tmp_path, **OPTIONS)
    assert "\n" not in str(refused.value)
