"""Images in HDF5 files."""

from __future__ import annotations

import multiprocessing
import pickle
import tracemalloc

import h5py
import numpy as np
import pytest

from brainnet.stimuli import Images


@pytest.fixture
def pixels():
    return np.random.default_rng(0).integers(0, 256, (6, 7, 5, 3), dtype=np.uint8)


@pytest.fixture
def brick(tmp_path, pixels):
    with h5py.File(tmp_path / "nsd_stimuli.hdf5", "w") as file:
        file.create_dataset("imgBrick", data=pixels, chunks=(2, 7, 5, 3), compression="gzip", fletcher32=True)
        file["notes"] = "of another kind"
        file["features"] = np.zeros((6, 10), dtype=np.float32)
    return tmp_path / "nsd_stimuli.hdf5"


@pytest.mark.parametrize("first", [False, True])
def test_pictures_of_a_brick(tmp_path, pixels, first):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["group/images"] = np.moveaxis(pixels, 3, 1) if first else pixels
    images = Images(tmp_path / "a.h5")
    assert (images.layout, images.ids) == ("hdf5", [str(i) for i in range(6)])
    for image, expected in zip(images, pixels, strict=True):
        assert np.array_equal(np.array(image), expected)
    assert "group/images" in images.described


def test_chosen_rows_keep_their_numbers(brick, pixels):
    images = Images(brick, rows=[4, 1])
    assert images.ids == ["4", "1"]
    assert np.array_equal(np.array(images[0]), pixels[4])
    assert Images(brick, rows=slice(0, 6, 3)).ids == ["0", "3"]
    assert Images(brick, rows=np.array([False, True] * 3)).ids == ["1", "3", "5"]
    with pytest.raises(ValueError, match="no row 6"):
        Images(brick, rows=[6])


def test_the_signature_is_of_the_chosen_rows(brick, pixels):
    before = {rows: Images(brick, rows=list(rows)).signature() for rows in [(0, 1), (1, 0), (4, 5)]}
    assert len(set(before.values())) == 3
    with h5py.File(brick, "r+") as file:
        file["imgBrick"][5] = 255 - pixels[5]
    after = {rows: Images(brick, rows=list(rows)).signature() for rows in before}
    assert [rows for rows in before if after[rows] != before[rows]] == [(4, 5)]


def test_which_data_set_is_asked_where_there_are_several(brick, pixels):
    with h5py.File(brick, "r+") as file:
        file["other"] = pixels[:2]
    with pytest.raises(ValueError, match=r"imgBrick, other\. Choose one by its key"):
        Images(brick)
    assert len(Images(brick, key="other")) == 2
    assert len(Images(brick, key="/imgBrick")) == 6
    with pytest.raises(ValueError, match="no data set 'imgbrik'. Did you mean 'imgBrick'"):
        Images(brick, key="imgbrik")
    with pytest.raises(ValueError, match="features 6 x 10 float32"):
        Images(brick, key="features")


def test_files_without_images_and_other_files_are_told(tmp_path, pixels):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["images"] = pixels.astype(np.float32)
    with pytest.raises(ValueError, match="of uint8; it has images 6 x 7 x 5 x 3 float32"):
        Images(tmp_path / "a.h5")
    (tmp_path / "b.h5").write_bytes(b"no HDF5")
    with pytest.raises(ValueError, match=r"cannot read .*b\.h5"):
        Images(tmp_path / "b.h5")
    with pytest.raises(ValueError, match="key is for an HDF5 file"):
        Images(pixels, key="images")


def test_a_damaged_chunk_is_named_or_left_out(brick, pixels):
    with h5py.File(brick) as file:
        place = file["imgBrick"].id.get_chunk_info(1).byte_offset
    whole = bytearray(brick.read_bytes())
    whole[place + 20] ^= 255
    brick.write_bytes(whole)
    images = Images(brick)
    assert np.array_equal(np.array(images[0]), pixels[0])
    for read in (lambda: images[2], images.signature):
        with pytest.raises(ValueError, match=r"cannot read image 2, row 2 of imgBrick in .*nsd_stimuli\.hdf5"):
            read()
    images = Images(brick, skip_bad=True, progress=False)
    assert (images.ids, list(images.skipped)) == (["0", "1", "4", "5"], ["2", "3"])
    images.signature()


def test_a_brick_is_read_piece_by_piece(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("imgBrick", (400, 100, 100, 3), "u1", chunks=(1, 100, 100, 3))
    tracemalloc.start()
    images = Images(tmp_path / "a.h5")
    images.signature()
    for image in images:
        assert image.size == (100, 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6  # of 12 MB


def _as_before(place):
    return np.array(_shared[place]).tolist() == _pixels[place].tolist()


def test_workers_open_the_file_themselves(brick, pixels):
    global _shared, _pixels  # forked workers inherit globals
    _shared, _pixels = Images(brick), pixels
    assert _as_before(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert all(pool.map(_as_before, range(6)))
    assert np.array_equal(np.array(pickle.loads(pickle.dumps(_shared))[5]), pixels[5])
