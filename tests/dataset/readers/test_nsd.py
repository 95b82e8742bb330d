"""The Natural Scenes Dataset in its published layout: planted betas, splits, regions, and one wrong file at a time."""

from __future__ import annotations

import shutil

import h5py
import nibabel
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import savemat

from brainnet.dataset.base import DATASETS, ResponseDataset
from brainnet.dataset.readers import _nsd as files
from brainnet.dataset.readers.nsd import NSD
from brainnet.encode import encode
from brainnet.scores import ceiling_from_ncsnr, ncsnr
from brainnet.space import BrainSpace
from brainnet.stimuli import Images
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing
from tests.dataset.readers.nsd_folder import (
    GRID,
    TRIALS,
    write_design,
    write_images,
    write_patterns,
    write_surface,
    write_volume,
)
from tests.dataset.readers.test_things_fmri import TwoLayers

VOLUME = {"space": "func1pt8mm", "version": "betas_fithrf", "progress": False}
BETAS = "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf"


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_volume(tmp_path_factory.mktemp("nsd"))


@pytest.fixture
def copied(planted, tmp_path):
    """A copy to damage; the images are one sparse file and stay where they are."""
    shutil.copytree(planted.root, tmp_path / "nsd")
    return tmp_path / "nsd"


def by_hand(planted, n_sessions=2, subject=1, standardize=True):
    """Row of the image -> (n, n_voxels) of its standardized trials."""
    found = {}
    for n in range(n_sessions):
        betas = planted.betas[n].copy()
        betas[:, ~betas.any(0)] = np.nan
        if standardize:
            betas = (betas - betas.mean(0)) / betas.std(0)
        for place, beta in zip(planted.order[n * TRIALS : (n + 1) * TRIALS], betas, strict=True):
            found.setdefault(int(planted.rows[subject - 1, place]), []).append(beta)
    return {row: np.array(trials) for row, trials in found.items()}


@pytest.mark.filterwarnings("ignore:Mean of empty slice", "ignore:NSD. of 24 voxels")
@pytest.mark.parametrize("standardize", [True, False])
def test_responses_are_the_means_of_each_images_trials(planted, standardize):
    data = NSD(planted.root, 1, standardize=standardize, **VOLUME)
    expected = by_hand(planted, standardize=standardize)
    assert data.image_ids == [f"nsd-{row:05d}" for row in expected]
    means = np.stack([np.nanmean(trials, 0) for trials in expected.values()])
    np.testing.assert_allclose(data.responses, means, rtol=0, atol=2e-4)
    most = max(map(len, expected.values()))
    padded = np.stack([np.pad(t, ((0, most - len(t)), (0, 0)), constant_values=np.nan) for t in expected.values()])
    torch.testing.assert_close(data.trials.ncsnr, ncsnr(padded), rtol=1e-3, atol=1e-3)
    assert data.trials.n_missing == TRIALS  # a voxel, in one session


def test_each_image_knows_the_session_of_its_first_trial(planted):
    data = NSD(planted.root, 1, **VOLUME)
    shown = [f"nsd-{row:05d}" for row in planted.rows[0][planted.order[: 2 * TRIALS]]]
    expected = [1 + shown.index(name) // TRIALS for name in data.image_ids]
    assert data.groups.tolist() == expected
    assert set(expected) == {1, 2}


def test_an_image_is_the_row_its_id_says(planted):
    data = NSD(planted.root, 1, **VOLUME)
    row = int(np.unique(planted.rows[0][planted.order[: 2 * TRIALS]])[2])
    picture = data.load_image(data.image_ids.index(f"nsd-{row:05d}"))
    assert picture.size == (425, 425)
    assert picture.getpixel((0, 0)) == (row // 256, row % 256, 7)


def test_nifti_and_hdf5_hold_the_same(planted, tmp_path):
    write_volume(tmp_path / "other", kind=".nii.gz")
    one, other = NSD(planted.root, 1, **VOLUME), NSD(tmp_path / "other", 1, **VOLUME)
    assert torch.equal(one.responses.nan_to_num(), other.responses.nan_to_num())
    assert one.image_ids == other.image_ids


def test_splits_hold_the_images_they_are_named_after(planted):
    data = NSD(planted.root, 1, **VOLUME)
    place = {int(row): p for p, row in enumerate(planted.rows[0])}
    places = np.array([place[int(name[4:])] for name in data.image_ids])
    shared = {split: places[rows] < 1000 for split, rows in data.splits.items()}
    assert shared["test"].all()
    assert not shared["train"].any()
    assert not shared["val"].any()
    assert sum(map(len, data.splits.values())) == len(data)
    counts = np.bincount(planted.order[: 2 * TRIALS], minlength=1000)[:1000]
    thrice = NSD(planted.root, 1, split="shared515", **VOLUME)
    assert sorted(places[thrice.splits["test"]]) == np.flatnonzero(counts >= 3).tolist()
    assert sorted(places[thrice.splits["val"]]) == np.flatnonzero((counts > 0) & (counts < 3)).tolist()
    drawn = NSD(planted.root, 1, split="random", test=30, **VOLUME)
    assert len(drawn.splits["test"]) == 30


def test_the_split_of_the_challenge_holds_back_what_came_last(tmp_path):
    planted = write_volume(tmp_path, n_sessions=4)
    rare = planted.order[: 4 * TRIALS].copy()
    rare[:TRIALS] = np.where(rare[:TRIALS] == 5, 6, rare[:TRIALS])  # image 5 comes in the last three sessions only
    order = np.r_[rare, planted.order[4 * TRIALS :]]
    savemat(tmp_path / "nsddata/experiments/nsd/nsd_expdesign.mat",
            {"masterordering": order[None] + 1, "subjectim": planted.rows + 1})  # fmt: skip
    data = NSD(tmp_path, 1, split="algonauts", **VOLUME)
    test = {data.image_ids[i] for i in data.splits["test"]}
    early = {f"nsd-{planted.rows[0, place]:05d}" for place in rare[:TRIALS]}
    assert test == set(data.image_ids) - early
    assert f"nsd-{planted.rows[0, 5]:05d}" in test


def test_voxels_stand_in_their_volume_with_their_regions(planted):
    data = NSD(planted.root, 1, **VOLUME)
    assert data.space.mask.shape == GRID
    assert torch.equal(data.space.affine, torch.diag(torch.tensor([1.8, 1.8, 1.8, 1.0])).double())
    assert set(data.space.rois) == {"V1", "V1v", "V1d", "first", "second", "nsdgeneral"}
    expected = np.argwhere(data.space.mask.numpy())[data.space.rois["V1v"].numpy()]
    assert set(map(tuple, expected)) == {(x, 1, 1) for x in range(1, 5)}
    assert torch.equal(data.space.rois["V1"], data.space.rois["first"] | data.space.rois["second"])


@pytest.mark.filterwarnings("ignore:NSD. of 24 voxels")
def test_both_hemispheres_of_fsaverage(tmp_path):
    planted = write_surface(tmp_path)
    data = NSD(tmp_path, 1, version="betas_fithrf", progress=False)
    z = (planted.betas[0] - planted.betas[0].mean(0)) / planted.betas[0].std(0)
    places = planted.order[:TRIALS]
    row = planted.rows[0, places[0]]
    np.testing.assert_allclose(data.responses[0], z[places == places[0]].mean(0), rtol=0, atol=1e-4)
    assert data.image_ids[0] == f"nsd-{row:05d}"
    assert data.space.vertices.tolist() == [*(1000 + 7 * np.arange(12)), *(163_842 + 2000 + 7 * np.arange(12))]
    assert data.responses[:, 5].isnan().all()
    assert data.space.rois["early"].sum() == data.space.rois["ventral"].sum() == 8
    assert data.space.rois["HCP_MMP1.MST"].sum() == 8
    counts = torch.from_numpy(np.array([(places == p).sum() for p in dict.fromkeys(places.tolist())]))
    left = (1 / counts[data.splits["test"]].double()).mean()
    assert data.noise_ceiling[0] == pytest.approx(float((0.25 / (0.25 + left)).sqrt()))  # the published map, 0.5
    assert "published" in data.noise_ceiling_definition
    assert ceiling_from_ncsnr([1.5], 3).r.item() > data.noise_ceiling[20] > data.noise_ceiling[0]


def test_the_vertices_of_a_subjects_own_surface_have_their_place_where_it_lies_there(tmp_path):
    import nibabel

    planted = write_volume(tmp_path)
    label = tmp_path / "nsddata/freesurfer/subj01/label"
    folder = tmp_path / "nsddata_betas/ppdata/subj01/nativesurface/betas_fithrf"
    folder.mkdir(parents=True)
    for side, n in (("lh", 14), ("rh", 10)):
        inside = np.zeros((n + 3, 1, 1), np.int32)
        inside[:n] = 1
        nibabel.save(nibabel.MGHImage(inside, np.eye(4)), label / f"{side}.nsdgeneral.mgz")
        start = 0 if side == "lh" else 14
        for session in range(2):
            betas = np.zeros((TRIALS, n + 3), np.int16)
            betas[:, :n] = np.round(300 * planted.betas[session][:, start : start + n])
            with h5py.File(folder / f"{side}.betas_session{session + 1:02d}.hdf5", "w") as file:
                file["betas"] = betas
    native = NSD(tmp_path, 1, space="nativesurface", version="betas_fithrf", progress=False)
    volume = NSD(tmp_path, 1, **VOLUME)
    assert torch.equal(native.responses.nan_to_num(), volume.responses.nan_to_num())
    assert native.space.vertices is None
    surf = tmp_path / "nsddata/freesurfer/subj01/surf"
    surf.mkdir()
    for side, n in (("lh", 17), ("rh", 13)):
        points = np.random.default_rng(n).normal(size=(n, 3))
        for kind in ("white", "sphere"):
            nibabel.freesurfer.write_geometry(surf / f"{side}.{kind}", points, np.array([[0, 1, 2], [1, 2, n - 1]]))
    placed = NSD(tmp_path, 1, space="nativesurface", version="betas_fithrf", progress=False)
    assert placed.space.vertices.tolist() == [*range(14), *range(17, 27)]  # right ones count from the larger hemisphere
    assert placed.space.mesh.endswith("freesurfer/subj01")
    other = shutil.copytree(tmp_path, tmp_path.with_name("other"))
    nibabel.freesurfer.write_geometry(
        other / "nsddata/freesurfer/subj01/surf/lh.white", np.ones((16, 3)), np.array([[0, 1, 2]])
    )
    with pytest.raises(ValueError, match=r"surf has \(16, 13\) vertices; expected \(17, 13\)"):
        NSD(other, 1, space="nativesurface", version="betas_fithrf", progress=False)


def test_it_is_built_from_a_config_by_name(planted):
    data = DATASETS["nsd"].from_settings(str(planted.root), 3, subject=1, space="func1pt8mm", version="betas_fithrf",
                                         sessions=1, val=0.2)  # fmt: skip
    assert data.trials.n_trials == TRIALS
    assert len(data.splits["val"]) == round(0.2 * (len(data) - len(data.splits["test"])))


def _replace(path, array):
    path.unlink()
    with h5py.File(path, "w") as file:
        file["betas"] = array


def _trials(root, subject=1, shift=0, n=30_000, cut=False):
    folder = root / "nsddata/ppdata/subj01/behav"
    folder.mkdir(parents=True)
    order, rows = files.read_design(root)
    lines = [f"{subject}\t{rows[0, place] + 1 + shift}" for place in order[:n]]
    text = "\n".join(["SUBJECT\t73KID", *lines]) + "\n"
    (folder / "responses.tsv").write_text(text[: -len(lines[-1])] if cut else text)


def _with_holes(root):
    path = root / "nsddata/ppdata/subj01/func1pt8mm/roi/nsdgeneral.nii.gz"
    image = nibabel.load(path)
    values = image.get_fdata(dtype=np.float32)
    values[1, 1, 1] = np.nan
    path.unlink()
    nibabel.save(nibabel.Nifti1Image(values, image.affine), path)


DESIGN = "nsddata/experiments/nsd/nsd_expdesign.mat"
DAMAGES = {
    "no design": (lambda root: (root / DESIGN).unlink(), FileNotFoundError, "nsd_expdesign"),
    "a design of other shape": (lambda root: savemat(root / DESIGN, {"masterordering": np.ones((1, 9)),
                                "subjectim": np.ones((8, 10_000))}), ValueError, r"\(1, 9\)"),
    "a design counted from 0": (lambda root: savemat(root / DESIGN, {"masterordering": np.zeros((1, 30_000)),
                                "subjectim": np.ones((8, 10_000))}), ValueError, "from 1 to 10000"),
    "a design without an entry": (lambda root: savemat(root / DESIGN, {"subjectim": np.ones((8, 10_000))}),
                                  ValueError, "masterordering"),
    "a truncated design": (lambda root: (root / DESIGN).write_bytes((root / DESIGN).read_bytes()[:900]), ValueError,
                           "nsd_expdesign"),
    "a session missing": (lambda root: (root / BETAS / "betas_session01.hdf5").unlink(), FileNotFoundError,
                          "betas_session01"),
    "no sessions": (lambda root: shutil.rmtree(root / BETAS), FileNotFoundError, "no betas"),
    "betas as floats": (lambda root: _replace(root / BETAS / "betas_session02.hdf5", np.ones((TRIALS, *GRID[::-1]))),
                        ValueError, "session02.hdf5 holds float64"),
    "betas with axes as MATLAB's": (lambda root: _replace(root / BETAS / "betas_session02.hdf5",
                                    np.ones((*GRID, TRIALS), np.int16)), ValueError, "session02.hdf5 has shape"),
    "a truncated session": (lambda root: (root / BETAS / "betas_session02.hdf5").write_bytes(b"\x89HDF\r\n\x1a\n"),
                            ValueError, "session02"),
    "a region with NaN": (_with_holes, ValueError, "nsdgeneral.nii.gz holds NaN in 1 of 120"),
    "no region": (lambda root: (root / "nsddata/ppdata/subj01/func1pt8mm/roi/nsdgeneral.nii.gz").unlink(),
                  FileNotFoundError, "nsdgeneral"),
    "no images": (lambda root: shutil.rmtree(root / "nsddata_stimuli"), FileNotFoundError, "39.6 GB"),
    "trials of another subject": (lambda root: _trials(root, subject=2), ValueError, "subject 2"),
    "trials that were cut": (lambda root: _trials(root, n=1499), ValueError, "has 1499 trials; expected 1500"),
    "a trial that was cut": (lambda root: _trials(root, n=1500, cut=True), ValueError, "row 1501 has 1 cell"),
    "trials in another order": (lambda root: _trials(root, shift=1), ValueError, "trial 1 of subject 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_one_wrong_file_is_one_line_that_names_it(copied, name):
    damage, error, words = DAMAGES[name]
    damage(copied)
    with pytest.raises(error, match=words) as refused:
        NSD(copied, 1, **VOLUME)
    assert "\n" not in str(refused.value)


@pytest.mark.filterwarnings("ignore:NSD. of 24 voxels")
def test_a_list_of_trials_that_agrees_is_accepted(copied):
    _trials(copied)
    assert len(NSD(copied, 1, **VOLUME)) > 300


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"subject": 9}, "1 to 8"),
        ({"space": "fsaverage5"}, "Did you mean 'fsaverage'"),
        ({"split": "shared"}, "shared1000"),
        ({"sessions": 3}, "1 to 2"),
        ({"region": "nsdgenral"}, "nsdgenral"),
    ],
)
def test_wrong_options_are_one_line(planted, options, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words) as refused:
        NSD(planted.root, **{"subject": 1, **VOLUME, **options})
    assert "\n" not in str(refused.value)


def test_a_folder_inside_is_told_where_the_root_is(planted):
    with pytest.raises(FileNotFoundError, match=f"Did you mean {planted.root}"):
        NSD(planted.root / "nsddata", 1, **VOLUME)


class Counting:
    """Two layers of tokens of tiny pictures, and how many pictures it was shown."""

    preprocessing = Preprocessing(size=(8, 8), mean=(0.5,) * 3, std=(0.25,) * 3)

    def __init__(self):
        self.n_shown = 0

    def get_tokens(self, images):
        self.n_shown += len(images)
        early = torch.nn.functional.avg_pool2d(images, 4)
        late = torch.nn.functional.avg_pool2d((images[:, :1] * images[:, 1:2]).abs(), 4)
        return {"early": early, "late": late}, {"early": early.mean((2, 3)), "late": late.mean((2, 3))}


def test_eight_subjects_share_one_store_of_tokens():
    """907 pictures that all saw and 30 of each one's own, in eight orders: each is shown to the network once."""
    generator = np.random.default_rng(0)
    n_shared, n_own, n_subjects = 907, 30, 8
    rows = np.sort(generator.choice(73_000, n_shared + n_subjects * n_own, replace=False))
    ids = [f"nsd-{row:05d}" for row in rows]
    pixels = generator.integers(0, 256, (len(ids), 8, 8, 3), np.uint8)
    backbone = Counting()
    store = TokenStore.build(backbone, Images(pixels, ids), batch_size=64, progress=False)
    n_shown = backbone.n_shown
    assert n_shown <= len(ids) + 2  # a pair tells the shapes of its tokens
    subjects, truth = {}, {}
    for n in range(n_subjects):
        own = n_shared + n * n_own + np.arange(n_own)
        order = generator.permutation(np.r_[np.arange(n_shared), own])
        chosen = store.select([ids[place] for place in order])
        truth[f"subj{n + 1:02d}"] = late = generator.random(6) < 0.5
        drive = [chosen.features(layer, "flatten") for layer in ("early", "late")]
        drive = [(part - part.mean(0)) / part.std(0) for part in drive]
        drive = [(part @ torch.from_numpy(generator.normal(size=(part.shape[1], 6))).float()).numpy() for part in drive]
        responses = np.where(late, *drive[::-1]) + 0.5 * generator.normal(size=(len(order), 6))
        test = np.flatnonzero(order < 300)  # pictures that all subjects saw
        train = np.flatnonzero(order >= 300)
        names = [ids[place] for place in order]
        subjects[f"subj{n + 1:02d}"] = ResponseDataset(
            names, responses.astype(np.float32), BrainSpace.free(6), {"train": train, "test": test}
        )
    assert len({tuple(data.image_ids) for data in subjects.values()}) == n_subjects
    found = encode(lambda name: store.select(subjects[name].image_ids), subjects, n_resamples=5, progress=False)
    for name, late in truth.items():
        best, layers = found.best_layers("model", name)
        assert np.array_equal(np.array(layers)[best.numpy()] == "late", late)
    assert backbone.n_shown == n_shown
    data = subjects["subj05"]
    alone = TokenStore.build(Counting(), Images(pixels[[ids.index(i) for i in data.image_ids]], data.image_ids),
                             progress=False)  # fmt: skip
    for layer in ("early", "late"):
        torch.testing.assert_close(store.select(data.image_ids).features(layer, "flatten"),
                                   alone.features(layer, "flatten"))  # fmt: skip


@pytest.mark.filterwarnings("ignore:NSD. of 24 voxels")
def test_a_planted_layer_map_is_found_again(tmp_path):
    planted = write_volume(tmp_path / "nsd", n_places=160)
    write_patterns(planted)
    data = NSD(planted.root, 1, **VOLUME)
    store = TokenStore.build(TwoLayers(), data, progress=False)
    is_late, generator = np.arange(24) % 3 == 0, torch.Generator().manual_seed(1)
    drive = {}
    for layer in ("early", "late"):
        features = store.features(layer).flatten(1)
        features = (features - features.mean(0)) / features.std(0)
        weights = torch.randn(features.shape[1], 24, generator=generator)
        drive[layer] = (features @ weights / features.shape[1] ** 0.5).numpy()
    signal, place = np.zeros((10_000, 24)), {f"nsd-{row:05d}": n for n, row in enumerate(planted.rows[0])}
    signal[[place[name] for name in data.image_ids]] = np.where(is_late, drive["late"], drive["early"])
    again = write_volume(tmp_path / "again", n_places=160, signal=signal)
    shutil.copytree(again.root / BETAS, planted.root / BETAS, dirs_exist_ok=True)
    data = NSD(planted.root, 1, **VOLUME)
    found = encode(store, data, n_resamples=5, progress=False)
    best, layers = found.best_layers("model", "subject")
    assert np.array_equal(np.array(layers)[best.numpy()] == "late", is_late)
    assert found.layer_scores("model", "subject")["early"][torch.from_numpy(~is_late)].nanmean() > 0.7


SIZE = """
import sys
from brainnet.dataset.readers.nsd import NSD
peak = lambda: next(int(l.split()[1]) for l in open("/proc/self/status") if l.startswith("VmHWM")) / 1e6
before = peak()
data = NSD(sys.argv[1], 1, space="func1pt8mm", version="betas_fithrf", progress=False)
print(len(data), data.n_voxels, before, peak())
"""


@pytest.mark.slow
def test_a_whole_subject_is_read_within_three_gigabytes(tmp_path):
    """30,000 trials of 40,000 voxels, 2.4 GB of whole numbers on disk; the means of 10,000 images alone are 1.6 GB."""
    import subprocess
    import sys

    import nibabel
    from scipy.io import savemat

    grid, generator = (50, 40, 20), np.random.default_rng(0)
    order = np.concatenate([generator.permutation(10_000) for _ in range(3)])
    rows = np.arange(80_000).reshape(8, 10_000) % 73_000
    folders = [tmp_path / part for part in ("nsddata/experiments/nsd", BETAS, "nsddata/ppdata/subj01/func1pt8mm/roi")]
    for folder in folders:
        folder.mkdir(parents=True)
    savemat(folders[0] / "nsd_expdesign.mat", {"masterordering": order[None] + 1, "subjectim": rows + 1})
    for session in range(1, 41):
        with h5py.File(folders[1] / f"betas_session{session:02d}.hdf5", "w") as file:
            file["betas"] = generator.integers(-900, 900, (TRIALS, *grid[::-1]), np.int16)
    nibabel.save(nibabel.Nifti1Image(np.ones(grid, np.float32), np.eye(4)), folders[2] / "nsdgeneral.nii.gz")
    write_images(tmp_path, rows[0, :1])
    done = subprocess.run([sys.executable, "-c", SIZE, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    n_images, n_voxels, before, peak = done.stdout.split()
    assert (n_images, n_voxels) == ("10000", "40000")
    said = f"a peak of {float(peak):.2f} GB, of which {float(before):.2f} GB are the libraries and 1.6 GB the responses"
    print(said)
    assert float(peak) < 2.7, said
    shutil.rmtree(tmp_path / "nsddata_betas")


def test_the_real_early_visual_voxels_have_their_regions_and_ceilings(test_data, tmp_path):
    """The 4,657 published voxels of subject 1 in the published layout, around planted betas: regions and ncsnr."""
    table = pd.read_csv(test_data / "nsd_metadata/deepnsd_voxel_metadata_EVC.csv")
    assert len(table) == 15_326
    table = table[table.subj_id == 1]
    places = table.voxel_id.str.split("-", expand=True).iloc[:, 1:].astype(int).to_numpy()
    places -= places.min(0)
    grid = tuple(places.max(0) + 1)
    where = np.ravel_multi_index(places.T, grid)
    _, rows = write_design(tmp_path)
    names = ("V1v", "V1d", "V2v", "V2d", "V3v", "V3d", "hV4")
    labels, ratio, inside = np.full(grid, -1.0), np.zeros(grid), np.zeros(grid)
    labels.flat[where] = table[list(names)].to_numpy() @ np.arange(1, 8)
    ratio.flat[where], inside.flat[where] = table.ncsnr, 1
    folder = tmp_path / BETAS
    roi = tmp_path / "nsddata/ppdata/subj01/func1pt8mm/roi"
    for one in (folder, roi):
        one.mkdir(parents=True)
    maps = {roi / "nsdgeneral": inside, roi / "prf-visualrois": labels, folder / "ncsnr": ratio}
    for path, values in maps.items():
        nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), np.diag([1.8, 1.8, 1.8, 1])), f"{path}.nii.gz")
    with h5py.File(folder / "betas_session01.hdf5", "w") as file:
        noise = np.random.default_rng(0).integers(-900, 900, (TRIALS, *grid[::-1]), dtype=np.int16)
        file["betas"] = noise
    write_images(tmp_path, rows[0, :2])
    data = NSD(tmp_path, 1, **VOLUME)
    assert data.n_voxels == 4657
    assert {name: int(data.space.rois[name].sum()) for name in names} == {
        "V1v": 594, "V1d": 756, "V2v": 834, "V2d": 599, "V3v": 646, "V3d": 541, "hV4": 687}  # fmt: skip
    assert int(data.space.rois["V1"].sum()) == 594 + 756
    order = data.space.volume_index.argsort().argsort()
    real = torch.from_numpy(table.ncsnr.to_numpy()[np.argsort(where)])[order]
    assert float(real.mean()) == pytest.approx(0.4786, abs=5e-5)
    counts = data.trials.counts[data.splits["test"]][:, 0].double()
    expected = (real**2 / (real**2 + (1 / counts).mean())).sqrt()
    torch.testing.assert_close(data.noise_ceiling.double(), expected, atol=1e-6, rtol=1e-5)
    assert "published ncsnr" in data.noise_ceiling_definition
