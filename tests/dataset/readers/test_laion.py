"""One wrong file of LAION-fMRI at a time is one line that names it."""

from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest

from brainnet.dataset.readers.laion_fmri import LaionFMRI
from tests.dataset.readers.laion_folder import save, write_laion


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_laion(tmp_path_factory.mktemp("laion"))


FUNC = "derivatives/glmsingle-tedana/sub-01/ses-02/func"
BETAS = f"{FUNC}/sub-01_ses-02_task-images_space-T1w_stat-effect_desc-SingletrialBetas_statmap.nii.gz"
TRIALS = f"{FUNC}/sub-01_ses-02_task-images_desc-SingletrialBetas_trials.tsv"
SPLIT = "splits/shared/tau.json"


def cut(name, keep):
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:keep])


def replace(name, old, new):
    return lambda root: (root / name).write_text((root / name).read_text().replace(old, new))


def remove(name):
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def variant(**parts):
    return lambda root: (root / SPLIT).write_text(json.dumps({"variants": [{"variant_id": "v1", **parts}]}))


def fewer_pictures(root):
    with h5py.File(root / "stimuli/task-images_stimuli.h5", "r+") as file:
        del file["images"]
        file["images"] = np.zeros((3, 4, 4, 3), np.uint8)


DAMAGES = {
    "no betas": (remove("derivatives/glmsingle-tedana"), FileNotFoundError, "SingletrialBetas"),
    "betas truncated": (cut(BETAS, 500), ValueError, "ses-02.*statmap"),
    "betas emptied": (cut(BETAS, 0), ValueError, "ses-02.*statmap"),
    "fewer volumes": (lambda root: save(root / BETAS, np.zeros((4, 5, 3, 9))), ValueError,
                      r"has shape \(4, 5, 3, 9\); expected \(4, 5, 3, 32\)"),
    "no trials": (remove(TRIALS), FileNotFoundError, "trials.tsv"),
    "trials emptied": (cut(TRIALS, 0), ValueError, "trials.tsv"),
    "an index twice": (replace(TRIALS, "\t5\t", "\t6\t"), ValueError, "beta_index must name the volumes"),
    "no brain mask": (remove("derivatives/anatomical"), FileNotFoundError, "no brain mask"),
    "a region of another grid": (
        lambda root: save(next((root / "derivatives/rois").rglob("*V1*")), np.ones((2, 2, 2))), ValueError, "label-V1"),
    "NaN in the mask of a region": (
        lambda root: save(next((root / "derivatives/rois").rglob("*V1*")), np.full((4, 5, 3), np.nan)), ValueError,
        "label-V1_mask.nii.gz is NaN in 60 of 60 voxels; expected 0 and 1"),
    "NaN in the brain mask": (
        lambda root: save(next((root / "derivatives/anatomical").rglob("*brain_mask*")), np.full((4, 5, 3), np.nan)),
        ValueError, "brain_mask.nii.gz is NaN in 60 of 60"),
    "no photographs": (remove("stimuli/task-images_stimuli.h5"), FileNotFoundError, "task-images_stimuli"),
    "no list of photographs": (remove("stimuli/task-images_metadata.csv"), FileNotFoundError, "task-images_metadata"),
    "pixels for bytes": (fewer_pictures, ValueError, "has no list of pictures"),
    "fewer rows": (cut("stimuli/task-images_metadata.csv", 200), ValueError, "has 21 pictures, and|row 4 has"),
    "another name": (replace("stimuli/task-images_metadata.csv", "NSD_2", "NSD_9"), ValueError, "'shared_4rep_NSD_2'"),
    "no split": (remove(SPLIT), FileNotFoundError, "tau.json"),
    "a split of no JSON": (cut(SPLIT, 40), ValueError, "tau.json"),
    "a split without variants": (lambda root: (root / SPLIT).write_text("{}"), ValueError, "has no variants"),
    "a split without tests": (variant(train_ids=["a"]), ValueError, "has no test_ids"),
    "a split of both": (variant(train_ids=["a.jpg", "b.jpg"], test_ids=["b.jpg"]), ValueError, "such as 'b'"),
    "a split of others": (variant(train_ids=["a.jpg"], test_ids=["b.jpg"]), ValueError, "0 training and 0 test"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_one_wrong_file(planted, tmp_path, name):
    shutil.copytree(planted.root, tmp_path / "laion")
    damage, error, words = DAMAGES[name]
    damage(tmp_path / "laion")
    with pytest.raises(error, match=words) as refused:
        LaionFMRI(tmp_path / "laion", region="", split="tau", progress=False)
    assert "\n" not in str(refused.value)


def test_a_session_without_betas_is_told(planted, tmp_path):
    shutil.copytree(planted.root, tmp_path / "laion")
    (tmp_path / "laion" / BETAS).unlink()
    with pytest.warns(UserWarning, match=r"1 of 2 sessions have a table of trials and no betas, .*ses-02"):
        LaionFMRI(tmp_path / "laion", progress=False)


def test_a_damaged_photograph_is_named(planted, tmp_path):
    shutil.copytree(planted.root, tmp_path / "laion")
    with h5py.File(tmp_path / "laion/stimuli/task-images_stimuli.h5", "r+") as file:
        file["images"][5] = np.frombuffer(b"no picture", np.uint8)
    data = LaionFMRI(tmp_path / "laion", progress=False)
    with pytest.raises(ValueError, match="shared_4rep_NSD_1 in .*task-images_stimuli.h5"):
        data.load_image(data.image_ids.index("shared_4rep_NSD_1"))
