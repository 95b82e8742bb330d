import nibabel
import numpy as np
import pytest

from brainnet.space.map_files import gifti_image, label_colors, read_cifti_rows, read_gifti_rows, read_nifti_rows


def test_colors_are_those_given_or_hues_that_differ():
    given = np.array([[0.1, 0.2, 0.3, 1.0]])
    assert np.allclose(label_colors(1, given), [[0.1, 0.2, 0.3]])
    hues = label_colors(8, given)  # too few are given
    assert hues.shape == (8, 3)
    assert len(np.unique(hues.round(3), axis=0)) == 8


def test_hemispheres_that_are_exchanged_are_refused(tmp_path):
    nibabel.save(gifti_image(np.ones((1, 4)), "L", ["a"]), tmp_path / "a.gii")
    assert read_gifti_rows(tmp_path / "a.gii", "L").names == ["a"]
    with pytest.raises(ValueError, match=r"CortexLeft.*CortexRight"):
        read_gifti_rows(tmp_path / "a.gii", "R")


def test_damaged_files_are_told_by_name(tmp_path):
    for name, read in (("a.gii", lambda path: read_gifti_rows(path, "L")), ("a.dscalar.nii", read_cifti_rows),
                       ("a.nii.gz", read_nifti_rows)):  # fmt: skip
        (tmp_path / name).write_bytes(b"nothing")
        with pytest.raises(ValueError, match=name):
            read(tmp_path / name)
