"""The Little Prince in its published layout, written here; and wrong files."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest

from brainnet.dataset.readers.lepetitprince import LePetitPrince

GRID, VOLUMES, RUNS = (4, 3, 2), (40, 30, 36), (15, 17, 16)  # numbers of runs are not those of sections
NAME = "sub-EN057_task-lppEN_run-{}_space-MNIColin27_desc-preproc_bold.nii.gz"
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def write_lepetitprince(root):
    """Three sections of one listener: volume v of run r answers v + 1,000 r + noise within five voxels of the brain."""
    rng = np.random.default_rng(0)
    folder = root / "derivatives" / "sub-EN057" / "func"
    folder.mkdir(parents=True)
    inside = np.zeros(GRID, bool)
    inside.ravel()[[1, 4, 8, 12, 20]] = True
    for run, n in zip(RUNS, VOLUMES, strict=True):
        values = np.zeros((*GRID, n), np.float32)
        values[inside] = 1000 * run + rng.normal(size=(int(inside.sum()), n))
        nibabel.save(nibabel.Nifti1Image(values, AFFINE), folder / NAME.format(run))
    rows = ["word,onset,offset,section"]
    for section, n in zip((1, 2, 3), (40, 36, 30), strict=True):
        rows += [f"w{section}x{i},{0.1 + i},{1.2 + i},{section}" for i in range(2 * n - 10)]
        rows.append(f",{2 * n - 8.0},{2 * n - 7.5},{section}")  # a pause
    table = root / "annotation" / "EN" / "lppEN_word_information.csv"
    table.parent.mkdir(parents=True)
    table.write_text("\n".join([*rows, ""]))
    return root


def build(root, **options):
    return LePetitPrince(root, **{"test": "section3", "val": "section2", **options})


def test_runs_are_sections_by_their_place_and_values_are_exact(tmp_path):
    data = build(write_lepetitprince(tmp_path), degree=None, scale="none")
    assert data.run_names == ["section1", "section2", "section3"]
    assert [len(data.splits[name]) for name in ("train", "val", "test")] == [40, 36, 30]
    assert (data.tr, data.n_voxels, data.times[0]) == (2.0, 5, 0.0)
    image = nibabel.load(tmp_path / "derivatives/sub-EN057/func" / NAME.format(16)).get_fdata()
    np.testing.assert_allclose(data.responses[data.rows("section2")], image[data.space.mask.numpy()].T)
    assert data.space.mask.sum() == 5
    np.testing.assert_array_equal(data.space.affine, AFFINE)


def test_words_end_where_the_next_begin_and_carry_their_context(tmp_path):
    data = build(write_lepetitprince(tmp_path), context=2)
    first, second = data.stimuli["section2"][:2]
    assert (first.onset, first.stimulus) == (0.1, "section2/00000")
    assert first.duration == pytest.approx(1.0)  # not 1.1, since then the next word begins
    assert second.onset == pytest.approx(1.1)
    assert data.words["section1"][-1] == "w1x69"  # the pause is no word
    place = data.shown.ids.index("section2/00003")
    assert data.shown[place] == "w2x1 w2x2 w2x3"
    assert data.shown[data.shown.ids.index("section2/00000")] == "w2x0"


def test_a_mask_chooses_voxels(tmp_path):
    write_lepetitprince(tmp_path)
    mask = np.zeros(GRID, np.uint8)
    mask.ravel()[[4, 8]] = 1
    nibabel.save(nibabel.Nifti1Image(mask, AFFINE), tmp_path / "mask.nii.gz")
    assert build(tmp_path, mask=str(tmp_path / "mask.nii.gz")).n_voxels == 2


def test_voxels_of_nan_are_told(tmp_path):
    write_lepetitprince(tmp_path)
    path = tmp_path / "derivatives/sub-EN057/func" / NAME.format(15)
    values = nibabel.load(path).get_fdata(dtype=np.float32)
    values[0, 0, 1, 3] = np.nan
    nibabel.save(nibabel.Nifti1Image(values, AFFINE), path)
    with pytest.warns(UserWarning, match=r"run-15_.* holds NaN or infinity in 1 of 24 voxels, which are left out"):
        assert build(tmp_path).n_voxels == 4
    mask = tmp_path / "mask.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.full(GRID, np.nan, np.float32), AFFINE), mask)
    with pytest.raises(ValueError, match="mask.nii.gz is NaN in 24 of 24 voxels"):
        build(tmp_path, mask=str(mask))


def _table(change):
    def apply(root):
        path = root / "annotation" / "EN" / "lppEN_word_information.csv"
        path.write_text(change(path.read_text()))

    return apply


def _responses(change):
    def apply(root):
        change(root / "derivatives" / "sub-EN057" / "func")

    return apply


@pytest.mark.parametrize(
    ("change", "options", "error", "named"),
    [
        (lambda r: None, {"subject": "DE001"}, ValueError, "EN, CN, FR|'DE'"),
        (lambda r: None, {"subject": "EN058"}, FileNotFoundError, "EN058"),
        (lambda r: None, {"test": "section7"}, ValueError, "'section7'"),
        (lambda r: None, {"context": -1}, ValueError, "context"),
        (_responses(lambda f: (f / NAME.format(15)).unlink()), {}, ValueError, "3 sections.*2 runs"),
        (_responses(lambda f: (f / NAME.format(16)).write_bytes(b"x")), {}, ValueError, "run-16"),
        (_responses(lambda f: (f / NAME.format(17)).rename(f / NAME.format("17").replace("run-17_", ""))), {},
         ValueError, "number of a run"),
        (_responses(lambda f: nibabel.save(nibabel.Nifti1Image(np.ones((4, 3, 3, 30), np.float32), AFFINE),
                                           f / NAME.format(17))), {}, ValueError, "run-17"),
        (_table(lambda t: t.replace("onset", "start", 1)), {}, ValueError, "'onset'"),
        (_table(lambda t: t.replace("w1x3,3.1", "w1x3,x")), {}, ValueError, "onset"),
        (_table(lambda t: t.replace("w1x3,3.1", "w1x3,9.1")), {}, ValueError, "row 5"),
        (_table(lambda t: t + "\nlate,500,501,3"), {}, ValueError, "'section3'.*500 s"),
        (lambda r: (r / "annotation" / "EN" / "lppEN_word_information.csv").unlink(), {}, FileNotFoundError, "lppEN"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(tmp_path, change, options, error, named):
    write_lepetitprince(tmp_path)
    change(tmp_path)
    with pytest.raises(error, match=named):
        build(tmp_path, **options)
