"""One wrong file of THINGS-fMRI at a time is one line that names it."""

from __future__ import annotations

import pickle
import shutil

import h5py
import nibabel
import numpy as np
import pytest

from brainnet.dataset.readers.things_fmri import ThingsFMRI
from tests.dataset.readers.test_pickles import Calls
from tests.dataset.readers.things_folder import GRID, write_frame, write_things


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return write_things(tmp_path_factory.mktemp("csv"))


@pytest.fixture(scope="module")
def volumes(tmp_path_factory):
    return write_things(tmp_path_factory.mktemp("vol"), kind="vol")


def replace(name, old, new):
    def change(root):
        path = root / "betas_csv" / f"sub-01_{name}.csv"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new, 1))

    return change


def cut(name, keep=400):
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:keep])


def remove(name):
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def frame(change):
    """Writes the table of responses again, changed."""

    def damage(root):
        path = root / "betas_csv/sub-01_ResponseData.h5"
        with h5py.File(path) as file:
            ids, values = file["ResponseData/block1_values"][:, 0], file["ResponseData/block0_values"][:]
        path.unlink()
        write_frame(path, *change(ids, values))

    return damage


MASK = "brainmasks/sub-01_space-T1w_brainmask.nii.gz"


def mask(change):
    """Writes the brain mask again, changed."""

    def damage(root):
        image = nibabel.load(root / MASK)
        nibabel.save(nibabel.Nifti1Image(change(image.get_fdata()), image.affine), root / MASK)

    return damage


def malicious(root):
    with h5py.File(root / "betas_csv/sub-01_ResponseData.h5", "r+") as file:
        content = pickle.dumps(Calls(open, str(root / "called"), "w"))
        file["ResponseData/block0_items"][0] = np.frombuffer(content, np.uint8)


def empty_frame(root):
    with h5py.File(root / "betas_csv/sub-01_ResponseData.h5", "w"):
        pass


DATA, TRIALS, VOXELS = (f"betas_csv/sub-01_{name}" for name in ("ResponseData.h5", "StimulusMetadata.csv", "VoxelMetadata.csv"))  # fmt: skip  # noqa: E501
DAMAGES = {
    "no responses": (remove(DATA), FileNotFoundError, "ResponseData"),
    "responses truncated": (cut(DATA, 2000), ValueError, "ResponseData"),
    "responses emptied": (cut(DATA, 0), ValueError, "ResponseData"),
    "no frame": (empty_frame, ValueError, "holds 0 frames"),
    "voxels in another order": (frame(lambda ids, v: (ids[::-1], v)), ValueError, "voxel_id of row 0 is 23"),
    "fewer voxels": (frame(lambda ids, v: (ids[:-1], v[:-1])), ValueError, "23 voxels; expected 24"),
    "fewer trials": (frame(lambda ids, v: (ids, v[:, :-1])), ValueError, "expected voxel_id and 0 to 26"),
    "whole numbers": (frame(lambda ids, v: (ids, v.astype(np.int16))), ValueError, "holds int16"),
    "a pickle that calls": (malicious, ValueError, "it names .*open"),
    "no trials": (remove(TRIALS), FileNotFoundError, "StimulusMetadata"),
    "trials emptied": (cut(TRIALS, 0), ValueError, "StimulusMetadata.csv has 0 columns 'trial_type'"),
    "trials truncated": (cut(TRIALS, 300), ValueError, "StimulusMetadata"),
    "trials of another subject": (replace("StimulusMetadata", ",1,0,", ",2,0,"), ValueError, "of subject '2'"),
    "trials in another order": (replace("StimulusMetadata", ",1,2,", ",1,3,"), ValueError, "trial_id of row 4 is 3"),
    "another kind of trial": (replace("StimulusMetadata", "train", "exp"), ValueError, "'exp'"),
    "a column twice": (replace("StimulusMetadata", "concept", "run"), ValueError, "2 columns 'run'"),
    "no voxels": (remove(VOXELS), FileNotFoundError, "VoxelMetadata"),
    "voxels of another subject": (replace("VoxelMetadata", "\n4,1,", "\n4,3,"), ValueError, "of subject '3'"),
    "a voxel twice": (replace("VoxelMetadata", "\n4,1,", "\n3,1,"), ValueError, r"voxel_id = \[3\] is there 2 times"),
    "words for numbers": (replace("VoxelMetadata", "\n4,1,", "\nfour,1,"), ValueError, "'voxel_id' must hold numbers"),
    "a ceiling beyond 100": (replace("VoxelMetadata", ",90.0,", ",190.0,"), ValueError, "nc_testset holds .* to 190"),
    "a mask too small": (mask(lambda v: np.ones((2, 2, 2))), ValueError,
                         r"brainmask.nii.gz has 8 voxels in a volume of shape \(2, 2, 2\); expected the 24 voxels of "),
    "a mask with its axes reversed": (mask(lambda v: v.T), ValueError,
                                      r"brainmask.nii.gz has 24 .*\(4, 6, 5\).*, \d+ of which it leaves out, as voxel"),
    "a mask of another subject": (mask(lambda v: np.roll(v, 1, 0)), ValueError, "8 of which it leaves out"),
    "a mask with one voxel more": (mask(lambda v: np.where(np.indices(v.shape).sum(0) == 0, 1, v)), ValueError,
                                   "has 25 voxels .* expected the 24 .*, 0 of which it leaves out"),
    "a mask with NaN": (mask(lambda v: np.where(v > 0, np.nan, v)), ValueError,
                        "brainmask.nii.gz is NaN in 24 of 120 voxels; expected 0 and 1"),
    "no pictures": (remove("object_images"), FileNotFoundError, "object_images"),
    "a picture missing": (remove("object_images/dog/dog_03b.jpg"), FileNotFoundError, "dog_03b"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_one_wrong_table(tables, tmp_path, name):
    root = tmp_path / "things"
    shutil.copytree(tables.root, root)
    damage, error, words = DAMAGES[name]
    damage(root)
    with pytest.raises(error, match=words) as refused:
        ThingsFMRI(root, region="", progress=False)
    assert "\n" not in str(refused.value)
    assert not (root / "called").exists()


RUN = "betas_vol/sub-01/ses-things02/sub-01_ses-things02_run-01"


def flat(root):
    nibabel.save(nibabel.Nifti1Image(np.zeros(GRID, np.float32), np.eye(4)), root / f"{RUN}_betas.nii.gz")


def other_grid(root):
    values = np.zeros((*GRID[::-1], 6), np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), root / f"{RUN}_betas.nii.gz")


VOLUMES = {
    "no runs": (remove("betas_vol"), FileNotFoundError, "run-01_betas"),
    "no list of pictures": (remove(f"{RUN}_conditions.tsv"), FileNotFoundError, "run-01_conditions.tsv"),
    "a run truncated": (cut(f"{RUN}_betas.nii.gz", 300), ValueError, "ses-things02_run-01_betas"),
    "a run emptied": (cut(f"{RUN}_betas.nii.gz", 0), ValueError, "ses-things02_run-01_betas"),
    "one volume": (flat, ValueError, "run-01_betas.nii.gz has shape"),
    "another grid": (other_grid, ValueError, r"has shape \(4, 6, 5, 6\); expected \(5, 6, 4, 6\)"),
    "no mask": (remove("brainmasks"), FileNotFoundError, "brainmask"),
}


@pytest.mark.parametrize("name", VOLUMES)
def test_one_wrong_volume(volumes, tmp_path, name):
    root = tmp_path / "things"
    shutil.copytree(volumes.root, root)
    damage, error, words = VOLUMES[name]
    damage(root)
    with pytest.raises(error, match=words) as refused:
        ThingsFMRI(root, betas="vol", region="", progress=False)
    assert "\n" not in str(refused.value)


def test_one_session_does_not_tell_which_images_are_tests(tmp_path):
    write_things(tmp_path, kind="vol", n_sessions=1)
    with pytest.raises(ValueError, match="0 of 9 images are test images"):
        ThingsFMRI(tmp_path, betas="vol", region="", progress=False)
