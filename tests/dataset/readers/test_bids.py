"""BIDS folders: planted responses come back from series and from single trials; one wrong file at a time is named."""

from __future__ import annotations

import json
import shutil

import h5py
import nibabel
import numpy as np
import pytest
import torch

from brainnet.dataset.base import DATASETS
from brainnet.dataset.readers._bids import entities_of, subject_of
from brainnet.encode import FitKey, encode
from tests.dataset.readers.bids_folder import AFFINE, N_IMAGES, write_bids, write_glmsingle

FUNC = "derivatives/fmriprep/sub-01/ses-01/func/sub-01_ses-01_task-look_run-1"
EVENTS = "sub-01/ses-01/func/sub-01_ses-01_task-look_run-1_events.tsv"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_bids(tmp_path_factory.mktemp("bids") / "data")


@pytest.fixture(scope="module")
def surfaces(tmp_path_factory):
    return write_bids(tmp_path_factory.mktemp("bids") / "data", kinds=("surface", "volume"))


@pytest.fixture
def copied(planted, tmp_path):
    shutil.copytree(planted.root, tmp_path / "data")
    return tmp_path / "data"


def read(root, subject="01", **options):
    return DATASETS["bids"](root, subject, **options)


def expected(planted, n_voxels, scale=lambda trials: (trials - trials.mean(0)) / trials.std(0)):
    """Image -> mean over its trials, z-scored within each run."""
    found = {}
    for images in planted.order.values():
        for image, row in zip(images, scale(planted.responses[images, :n_voxels]), strict=True):
            found.setdefault(f"set/im{image}", []).append(row)
    return {name: np.mean(rows, 0) for name, rows in found.items()}


@pytest.mark.parametrize("model", ["lss", "lsa"])
def test_planted_responses_come_back_from_a_series(planted, model):
    data = read(planted.root, glm={"model": model})
    means = expected(planted, data.n_voxels)
    assert data.image_ids == list(means)  # "im9" was never shown
    error = np.abs(data.responses.numpy() - np.stack(list(means.values())))
    assert error.max() < (0.02 if model == "lsa" else 0.4)  # lss mixes what overlaps, even without noise
    assert np.corrcoef(data.responses.flatten(), np.ravel(list(means.values())))[0, 1] > 0.99
    assert np.array_equal(data.space.mask.numpy(), planted.inside)
    np.testing.assert_allclose(data.space.affine, AFFINE)
    assert data.load_image(0).getpixel((0, 0)) == (20 * int(data.image_ids[0][6:]), 0, 99)
    assert data.noise_ceiling is not None
    first = {f"set/im{i}": run for run, images in reversed(planted.order.items()) for i in images}
    assert data.groups.tolist() == [first[name] for name in data.image_ids]
    assert data.settings["model"] == model
    assert data.settings["high_pass"] == 0.01


def test_percent_of_the_mean_is_the_unit_where_nothing_is_standardized(planted):
    data = read(planted.root, 1, glm={"model": "lsa", "standardize": False, "nuisance": ["button"]})
    means = expected(planted, data.n_voxels, scale=lambda trials: trials)
    np.testing.assert_allclose(data.responses, np.stack(list(means.values())), atol=0.02)


def test_surfaces_and_volumes_are_kinds_of_their_own(surfaces):
    data = read(surfaces.root, space="fsaverage3", glm={"model": "lsa"})
    assert data.space.mesh == "fsaverage3"
    kept = [v for v in range(2 * 642) if v % 642 > 2]  # no medial wall
    assert data.space.vertices.tolist() == kept
    means = np.stack(list(expected(surfaces, 2 * 642).values()))[:, kept]
    assert np.abs(data.responses.numpy() - means).max() < 0.05
    with pytest.raises(ValueError, match="2 kinds.*task look, space T1w; task look, space fsaverage3 .surface."):
        read(surfaces.root)
    with pytest.raises(ValueError, match="none of that task and space"):
        read(surfaces.root, space="fsnative")


def test_cifti_is_cortex_on_fs_lr(tmp_path):
    planted = write_bids(tmp_path / "data", kinds=("cifti",))
    data = read(planted.root, space="fsLR_den-91k", glm={"model": "lsa", "confounds": ()})
    assert data.space.mesh == "fsLR32k"
    assert data.space.vertices[:2].tolist() == [2, 3]
    assert data.space.vertices[198].item() == 32_492 + 2
    assert data.n_voxels == 2 * 198  # the thalamus is left out


@pytest.mark.parametrize(
    ("suffix", "by_session"), [(".hdf5", False), (".mat", False), (".npy", False), (".hdf5", True)]
)
def test_single_trials_of_glmsingle_are_taken_as_they_are(copied, planted, suffix, by_session):
    write_glmsingle(planted._replace(root=copied), suffix, by_session)
    data = read(copied, glm={"model": "glmsingle"})
    means = expected(planted, data.n_voxels)
    assert data.image_ids == list(means)
    np.testing.assert_allclose(data.responses, np.stack(list(means.values())), atol=1e-4)
    assert np.array_equal(data.space.mask.numpy(), planted.inside)
    np.testing.assert_allclose(data.space.affine, AFFINE)
    shutil.rmtree(copied / "derivatives/fmriprep")
    assert read(copied, glm={"model": "glmsingle"}).space.mask is None  # GLMsingle keeps no affine


def test_a_planted_layer_is_found_again(tmp_path):
    """From folder to map: of two layers, each of which drives half of the voxels, encode finds which, run by run."""
    generator = np.random.default_rng(0)
    layers = {name: generator.normal(size=(60, 8)) for name in ("early", "late")}
    weights = generator.normal(size=(8, 16))
    responses = np.concatenate([layers["early"] @ weights[:, :8], layers["late"] @ weights[:, 8:]], 1)
    runs = [("01", str(k + 1)) for k in range(6)]
    twice = [np.random.default_rng(seed).permutation(60).reshape(3, 20) for seed in (0, 1)]
    write_bids(tmp_path / "data", noise=0.5, responses=responses, runs=runs,
               shown_in=lambda run: twice[run // 3][run % 3].tolist())  # fmt: skip
    data = read(tmp_path / "data", glm={"model": "lss"})
    order = [int(name[6:]) for name in data.image_ids]
    features = {name: values[order] for name, values in layers.items()}
    table = encode(features, data, groups="dataset", n_resamples=2)
    scores = {name: table.fits[FitKey("model", "subject", "ridge", name)].selection for name in layers}
    won = (scores["late"] > scores["early"]).tolist()
    assert won == [False] * 8 + [True] * 8
    assert data.noise_ceiling.mean() > 0.7


def test_another_order_than_glmsingles_is_refused(copied, planted):
    write_glmsingle(planted._replace(root=copied))
    folder = copied / "derivatives/glmsingle/sub-01"
    with h5py.File(folder / "DESIGNINFO.hdf5", "r+") as file:
        order = file["stimorder"][()]
        order[[0, 1]] = order[[1, 0]]
        file["stimorder"][...] = order
    with pytest.raises(ValueError, match="DESIGNINFO.hdf5: trial .* is of condition"):
        read(copied, glm={"model": "glmsingle"})
    path = copied / EVENTS
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:2], *lines[3:]]) + "\n")
    with pytest.raises(ValueError, match="33 trials and the events of its 3 runs name images in 32"):
        read(copied, glm={"model": "glmsingle"})
    with h5py.File(folder / "TYPED_FITHRF_GLMDENOISE_RR.hdf5", "r+") as file:
        del file["betasmd"]
    with pytest.raises(ValueError, match="no betasmd, nor modelmd; it has R2"):
        read(copied, glm={"model": "glmsingle"})


def damage(path, text=None, **changes):
    if text is None:
        path.unlink()
    elif isinstance(text, bytes):
        path.write_bytes(text)
    else:
        path.write_text(text)


@pytest.mark.parametrize(
    ("file", "content", "error", "words"),
    [
        (EVENTS, None, FileNotFoundError, "run-1_events.tsv"),
        (EVENTS, "", ValueError, "events.tsv"),
        (EVENTS, "onset\tduration\n1\t2\n", ValueError, "'stim_file'"),
        (EVENTS, "onset\tduration\tstim_file\n1\t2\tset/other.png\n", ValueError, "line 2: no image 'set/other.png'"),
        (EVENTS, "onset\tduration\tstim_file\nsoon\t2\tset/im1.png\n", ValueError, "line 2: the onset 'soon'"),
        (EVENTS, "onset\tduration\tstim_file\nn/a\t2\tset/im1.png\n", ValueError, "line 2: the trial has no onset"),
        (EVENTS, "onset\tduration\tstim_file\n1\t2\tn/a\n", ValueError, "no event names an image"),
        (EVENTS, "onset\tduration\tstim_file\n1\t2\tset/im1.png\n1\t2\tset/im2.png\n", ValueError, "two trials begin"),
        (f"{FUNC}_space-T1w_desc-preproc_bold.nii.gz", b"", ValueError, "run-1_space-T1w_desc-preproc_bold.nii.gz"),
        (f"{FUNC}_space-T1w_desc-preproc_bold.nii.gz", b"\x1f\x8b" + b"x" * 400, ValueError, "preproc_bold.nii.gz"),
        (f"{FUNC}_space-T1w_desc-brain_mask.nii.gz", None, FileNotFoundError, "desc-brain_mask.nii.gz"),
        (f"{FUNC}_desc-confounds_timeseries.tsv", None, FileNotFoundError, "confounds .. fits without any"),
        (f"{FUNC}_desc-confounds_timeseries.tsv", "csf\n1\n", ValueError, r"no column like 'trans_\[xyz\]'"),
        (f"{FUNC}_desc-confounds_timeseries.tsv", "trans_x\trot_x\n1\t1\n", ValueError, "1 lines for 100 volumes"),
        ("derivatives/fmriprep", None, FileNotFoundError, "no preprocessed series of sub-01"),
    ],
)
def test_a_wrong_file_is_named(copied, file, content, error, words):
    path = copied / file
    shutil.rmtree(path) if path.is_dir() else damage(path, content)
    with pytest.raises(error, match=words) as said:
        read(copied)
    assert "\n" not in str(said.value)


def test_a_run_with_events_and_without_a_series_is_told(copied):
    series = sorted(copied.rglob("*_run-1*_desc-preproc_bold.nii.gz"))[0]
    series.unlink()
    with pytest.warns(UserWarning, match=r"1 of \d runs with events have no .*run-1_events\.tsv"):
        read(copied)


def test_nan_in_a_series_is_told_and_a_run_of_nan_refused(copied):
    path = copied / f"{FUNC}_space-T1w_desc-preproc_bold.nii.gz"
    image = nibabel.load(path)
    values = image.get_fdata(dtype=np.float32)
    values[0, 0, 0, 7] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, image.affine, image.header), path)
    with pytest.warns(UserWarning, match=r"run-1_space-T1w_desc-preproc_bold.nii.gz holds NaN .* in 1 of 16 columns"):
        read(copied)
    nibabel.save(nibabel.Nifti1Image(np.full_like(values, np.nan), image.affine, image.header), path)
    with pytest.raises(ValueError, match=r"run-1_space-T1w_desc-preproc_bold.nii.gz holds NaN or infinity in all 16"):
        read(copied)


def test_masks_of_another_grid_are_refused(copied):
    path = copied / f"{FUNC}_space-T1w_desc-brain_mask.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.ones((2, 2, 2), np.uint8), AFFINE), path)
    with pytest.raises(ValueError, match="another grid"):
        read(copied)
    nibabel.save(nibabel.Nifti1Image(np.zeros((3, 4, 2), np.uint8), AFFINE), path)
    with pytest.raises(ValueError, match="no place is in the brain mask"):
        read(copied)


def test_events_may_be_inherited_and_times_come_from_the_header_or_the_side_car(copied, planted):
    """One table for all runs, as where every run shows the same; and a repetition time of the header."""
    text = (copied / EVENTS).read_text()
    for path in copied.glob("sub-01/ses-*/func/*"):
        path.unlink()
    (copied / "task-look_events.tsv").write_text(text)
    data = read(copied, glm={"confounds": []})
    assert set(data.image_ids) == {f"set/im{i}" for i in range(N_IMAGES)}
    sidecar = copied / "task-look_bold.json"
    sidecar.write_text(json.dumps({"RepetitionTime": 2.0, "StartTime": 1.0}), encoding="utf-8-sig")  # as Windows does
    assert not torch.equal(read(copied, glm={"confounds": []}).responses, data.responses)
    sidecar.write_text("[2.0]")
    with pytest.raises(ValueError, match=r"cannot read .*task-look_bold\.json"):
        read(copied, glm={"confounds": []})


def test_subjects_and_settings_are_checked(planted):
    assert subject_of(planted.root, 1) == subject_of(planted.root, "sub-01") == "01"
    assert entities_of("sub-01_hemi-L_space-fsLR_den-91k_bold.func.gii") == {
        "sub": "01", "hemi": "L", "space": "fsLR", "den": "91k"}  # fmt: skip
    with pytest.raises(FileNotFoundError, match="no folder of the subject 2 in .* there are: 01"):
        read(planted.root, 2)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        read(planted.root / "nowhere")
    with pytest.raises(ValueError, match="'hfr'.*Did you mean 'hrf'"):
        read(planted.root, glm={"hfr": "spm"})
    with pytest.raises(ValueError, match="none of that task"):
        read(planted.root, task="rest")


def test_splits_may_be_given(copied):
    lines = [f"set/im{i},{'test' if i < 3 else 'train'}" for i in range(N_IMAGES)]
    (copied / "splits.csv").write_text("\n".join(["image,split", *lines]))
    data = read(copied, splits="splits.csv")
    assert {data.image_ids[i] for i in data.splits["test"]} == {"set/im0", "set/im1", "set/im2"}
