"""What readers share: tables, volumes, ceilings and held-out images."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import torch

from brainnet.dataset.readers import _checked as files


def test_volumes_come_with_their_scale_in_the_order_of_the_mask(tmp_path):
    generator = np.random.default_rng(0)
    values = generator.integers(-900, 900, (3, 4, 2, 37)).astype(np.int16)
    image = nibabel.Nifti1Image(values, np.eye(4))
    image.header.set_slope_inter(0.01, 0.5)
    nibabel.save(image, tmp_path / "betas.nii.gz")
    inside = generator.random((3, 4, 2)) < 0.5
    found = files.read_volumes(tmp_path / "betas.nii.gz", inside, 37)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, values[inside].T * 0.01 + 0.5, rtol=1e-5)
    with pytest.raises(ValueError, match=r"betas.nii.gz has shape \(3, 4, 2, 37\); expected \(3, 4, 2, 36\)"):
        files.read_volumes(tmp_path / "betas.nii.gz", inside, 36)


def test_tables_name_the_row_that_is_wrong(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text('a,"b\nc",d\n1,2,3\n\n4,5\n')
    with pytest.raises(ValueError, match=r"table.csv: row 3 has 2 cells; expected 3"):
        files.read_columns(path, ("a",))
    path.write_text('a,"b\nc",d\n1,2,3\n')
    assert files.read_columns(path, ("bc",)) == {"a": ["1"], "bc": ["2"], "d": ["3"]}
    with pytest.raises(ValueError, match="'d' must hold numbers"):
        files.numbers(path, "d", ["1", "x"])
    np.testing.assert_array_equal(files.numbers(path, "d", ["1", ""]), [1, np.nan])


def test_ceilings_must_be_percent():
    with pytest.raises(ValueError, match="map holds 0.5 to 200"):
        files.ceiling_of_percent(np.array([0.5, 200.0]), "map")


def test_test_images_are_held_out_and_validation_drawn_from_the_others():
    test = np.array([True, False, False, True, False])
    splits = files.held_out(test, 1, 0, "here")
    assert splits["test"].tolist() == [0, 3]
    assert sorted(torch.cat([splits["train"], splits["val"]]).tolist()) == [1, 2, 4]
    assert len(splits["val"]) == 1
    with pytest.raises(ValueError, match="here: 5 of 5"):
        files.held_out(np.ones(5, bool), 1, 0, "here")
