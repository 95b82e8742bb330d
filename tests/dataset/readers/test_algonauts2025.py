"""Friends and films in the published layout, written here; and wrong files."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from brainnet.dataset.readers.algonauts2025 import Algonauts2025

TAIL = "space-MNI152NLin2009cAsym_atlas-Schaefer18_parcel-1000Par7Net"
FRIENDS = {"ses-001_task-s01e01a": 40, "ses-001_task-s01e01b": 45, "ses-040_task-s06e02a": 60}
FILMS = {"ses-001_task-bourne01": 42, "ses-002_task-life01_run-1": 50, "ses-003_task-life01_run-2": 47}


def write_algonauts2025(root, atlas=False):
    """One person; the film Life was shown twice, and the second time the scanner stopped early."""
    rng = np.random.default_rng(0)
    folder = root / "fmri" / "sub-01" / "func"
    folder.mkdir(parents=True)
    life = rng.normal(size=(50, 1000))
    for task, runs in ((f"friends_{TAIL}_desc-s123456", FRIENDS), (f"movie10_{TAIL}", FILMS)):
        with h5py.File(folder / f"sub-01_task-{task}_bold.h5", "w") as file:
            for name, n in runs.items():
                values = rng.normal(size=(n, 1000))
                file[name] = (values + (life[:n] if "life" in name else 0)).astype("f4")
    if atlas:
        import nibabel

        (folder.parent / "atlas").mkdir()
        labels = np.zeros((12, 12, 12), dtype=np.int16)
        labels.reshape(-1)[:1000] = np.arange(1, 1001)
        image = nibabel.Nifti1Image(labels, np.diag([2.0, 2.0, 2.0, 1.0]))
        nibabel.save(image, folder.parent / "atlas" / f"sub-01_{TAIL}_desc-dseg_parcellation.nii.gz")
    return root


def test_runs_are_pieces_of_film_and_those_shown_twice_are_repeats(tmp_path):
    data = Algonauts2025(write_algonauts2025(tmp_path), val="bourne*", degree=0)
    assert data.run_names == ["bourne01", "life01", "s01e01a", "s01e01b", "s06e02a"]
    assert data.tr == 1.49
    assert {*data.groups[data.splits["test"].numpy()]} == {"s06e02a"}
    assert {*data.groups[data.splits["val"].numpy()]} == {"bourne01"}
    assert data.repeats_of("life01").shape == (2, 47, 1000)
    path = next(tmp_path.glob("fmri/sub-01/func/*friends*"))
    with h5py.File(path) as file:
        expected = file["ses-001_task-s01e01b"][()].astype(float)
    expected = (expected - expected.mean(0)) / expected.std(0)
    np.testing.assert_allclose(data.responses[data.rows("s01e01b")], expected, atol=1e-4)


def test_a_film_that_was_repeated_has_a_ceiling_as_test(tmp_path):
    data = Algonauts2025(write_algonauts2025(tmp_path), test="life*", runs="s01*")
    assert data.run_names == ["life01", "s01e01a", "s01e01b"]
    assert data.n_repeats == 2
    np.testing.assert_allclose(data.noise_ceiling.square().nanmean(), 2 / 3, atol=0.05)


def test_parcels_have_their_centers(tmp_path):
    data = Algonauts2025(write_algonauts2025(tmp_path, atlas=True))
    assert data.space.coords[0].tolist() == [0, 0, 0]
    assert data.space.coords[145].tolist() == [2, 0, 2]  # the 146th voxel in C order of 12 x 12 x 12


@pytest.mark.parametrize(
    ("change", "error", "named"),
    [(lambda f: [p.unlink() for p in f.iterdir()], FileNotFoundError, "person 1"),
     (lambda f: next(f.glob("*movie10*")).write_bytes(b"broken link"), ValueError, "movie10"),
     (lambda f: _put(f, "ses-001_task-s02e01a", np.ones((9, 999), "f4")), ValueError, r"\(9, 999\)"),
     (lambda f: _put(f, "ses-001_task-s02e01a", np.ones((9, 1000), "i4")), ValueError, "int32"),
     (lambda f: _put(f, "unnamed", np.ones((9, 1000), "f4")), ValueError, "'unnamed'"),
     (lambda f: _put(f, "ses-009_task-s01e01a", np.ones((9, 1000), "f4")), ValueError, "'s01e01a' is there twice")],
)  # fmt: skip
def test_a_wrong_file_is_named(tmp_path, change, error, named):
    change(write_algonauts2025(tmp_path) / "fmri" / "sub-01" / "func")
    with pytest.raises(error, match=named):
        Algonauts2025(tmp_path)


def _put(folder, name, values):
    with h5py.File(next(folder.glob("*friends*")), "a") as file:
        file[name] = values


def test_people_and_runs_that_are_not_there(tmp_path):
    with pytest.raises(ValueError, match="1, 2, 3, 5"):
        Algonauts2025(write_algonauts2025(tmp_path), 4)
    with pytest.raises(ValueError, match="test names 's07"):
        Algonauts2025(tmp_path, test="s07*")


def test_transcripts_are_texts_of_volumes(tmp_path):
    write_algonauts2025(tmp_path)
    for name, folder in (("s01e01a", "friends/s1"), ("s01e01b", "friends/s1"), ("bourne01", "movie10/bourne")):
        place = tmp_path / "stimuli" / "transcripts" / folder
        place.mkdir(parents=True, exist_ok=True)
        rows = [f'"{name} says {i}"\t"[]"' if i % 3 else "\t[]" for i in range(48)]
        (place / f"{folder.split('/')[0]}_{name}.tsv").write_text("\n".join(["text_per_tr\twords_per_tr", *rows]))
    data = Algonauts2025(tmp_path, runs="s01*", test="bourne01", context=1)
    first, second = data.stimuli["s01e01b"][:2]
    assert (first.stimulus, first.onset, first.duration) == ("s01e01b/0001", 1.49, 1.49)
    shown = dict(zip(data.shown.ids, data.shown, strict=True))
    assert shown[second.stimulus] == "s01e01b says 1 s01e01b says 2"
    assert data.stimuli["s01e01a"][-1].stimulus == "s01e01a/0038"  # the run has 40 volumes
    assert Algonauts2025(tmp_path, runs="s01*", test="life01").shown is None  # one has no transcript
    (tmp_path / "stimuli/transcripts/friends/s1/friends_s01e01a.tsv").write_text("words\nx")
    with pytest.raises(ValueError, match="s01e01a.tsv.*text_per_tr"):
        Algonauts2025(tmp_path, runs="s01*", test="bourne01")
