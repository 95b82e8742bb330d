"""Pictures and matrices from memory, from files and from folders."""

from __future__ import annotations

import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.dataset import ArrayDataset
from brainnet.space import BrainSpace

N_IMAGES, N_VOXELS = 12, 5
PIXELS = np.zeros((N_IMAGES, 4, 4, 3), dtype=np.uint8)


@pytest.fixture
def matrix():
    return np.random.default_rng(0).normal(size=(N_IMAGES, N_VOXELS))


def save_images(folder, n=N_IMAGES):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(folder / f"im{i}.png")


def test_either_orientation_gives_the_same_dataset(matrix):
    rows = ArrayDataset(PIXELS, matrix)
    columns = ArrayDataset(PIXELS, matrix.T, orientation="voxels,images")
    assert torch.equal(rows.responses, columns.responses)
    assert rows.responses.dtype == torch.float32
    assert np.allclose(rows.responses, matrix)


def test_the_dataset_has_its_own_copy(matrix):
    matrix = matrix.astype(np.float32)
    data = ArrayDataset(PIXELS, matrix)
    matrix[:] = 0
    assert data.responses.abs().min() > 0


def test_the_wrong_orientation_is_named(matrix):
    with pytest.raises(ValueError, match="The other axis fits: pass orientation='voxels,images'"):
        ArrayDataset(PIXELS, matrix.T)
    with pytest.raises(ValueError, match="The other axis fits: pass orientation='images,voxels'"):
        ArrayDataset(PIXELS, matrix, orientation="voxels,images")
    with pytest.raises(ValueError, match=r"shape \(11, 5\) are of 11 images .* there are 12"):
        ArrayDataset(PIXELS, matrix[:11])
    with pytest.raises(ValueError, match="'images,voxels' or 'voxels,images', got 'rows'"):
        ArrayDataset(PIXELS, matrix, orientation="rows")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_files_hold_what_was_saved(tmp_path, matrix, suffix, dtype):
    path, matrix = tmp_path / f"r{suffix}", matrix.astype(dtype)
    {
        ".npy": lambda: np.save(path, matrix),
        ".npz": lambda: np.savez(path, responses=matrix, other=np.zeros(3)),
        ".csv": lambda: np.savetxt(path, matrix, delimiter=","),
    }[suffix]()
    assert np.allclose(ArrayDataset(PIXELS, path).responses, matrix)


def test_a_table_with_pandas_index_and_header_is_read(tmp_path, matrix):
    pandas = pytest.importorskip("pandas")
    pandas.DataFrame(matrix, columns=[f"unit{i}" for i in range(N_VOXELS)]).to_csv(tmp_path / "r.csv")
    assert np.allclose(ArrayDataset(PIXELS, tmp_path / "r.csv").responses, matrix)


@pytest.mark.parametrize("orientation", ["images,voxels", "voxels,images"])
def test_rows_that_name_their_image_are_matched_by_name(tmp_path, matrix, orientation):
    pandas = pytest.importorskip("pandas")
    save_images(tmp_path / "images")
    order = np.random.default_rng(1).permutation(N_IMAGES)
    table = pandas.DataFrame(matrix[order], index=[f"im{i}.png" for i in order])
    (table if orientation == "images,voxels" else table.T).to_csv(tmp_path / "r.csv")
    data = ArrayDataset(tmp_path / "images", tmp_path / "r.csv", orientation=orientation)
    assert np.allclose(data.responses, matrix)

    table.rename(index={"im3.png": "im33.png"}).to_csv(tmp_path / "r.csv")
    with pytest.raises(ValueError, match="1 images are not among them, the first is 'im3'"):
        ArrayDataset(tmp_path / "images", tmp_path / "r.csv")


def test_words_in_a_table_are_refused(tmp_path):
    (tmp_path / "r.csv").write_text("a,b\n1,x\n2,3\n")
    with pytest.raises(ValueError, match="column 'b' must hold numbers, got 'x'"):
        ArrayDataset(PIXELS[:2], tmp_path / "r.csv")


def test_pickles_are_never_loaded(tmp_path):
    np.save(tmp_path / "r.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"r\.npy.*responses"):
        ArrayDataset(PIXELS, tmp_path / "r.npy")


def planted_repeats(rng, n_images=4000, n_repeats=6, ceiling=(0.9, 0.5), missing=0.2):
    """Repeats whose mean over ``n_repeats`` a perfect model would match with r = ``ceiling``."""
    signal = rng.normal(size=(n_images, len(ceiling), 1))
    # ceiling^2 = 1 / (1 + noise / K), with K the number that is there
    k = n_repeats * (1 - missing)
    noise = np.sqrt(k * (1 / np.square(ceiling) - 1))
    repeats = signal + noise[:, None] * rng.normal(size=(n_images, len(ceiling), n_repeats))
    absent = rng.random(repeats.shape) < missing
    absent[..., 0] = False
    repeats[absent] = np.nan
    return signal[..., 0], repeats


def test_the_ceiling_is_what_a_perfect_model_reaches():
    signal, repeats = planted_repeats(np.random.default_rng(0))
    data = ArrayDataset(np.zeros((len(signal), 2, 2, 3), dtype=np.uint8), repeats=repeats)
    reached = [np.corrcoef(signal[:, v], data.responses[:, v])[0, 1] for v in range(2)]
    # 4,000 images: the standard error of r is below 0.012
    assert data.noise_ceiling.tolist() == pytest.approx(reached, abs=0.03)
    assert data.n_repeats == 5
    assert "K = " in data.noise_ceiling_definition
    assert "Spearman-Brown" in data.noise_ceiling_definition


def test_the_ceiling_of_a_voxel_does_not_depend_on_the_others():
    repeats = np.random.default_rng(0).normal(size=(30, 7, 4)) + np.arange(30)[:, None, None] / 10
    whole = ArrayDataset(np.zeros((30, 2, 2, 3), dtype=np.uint8), repeats=repeats)
    part = ArrayDataset(np.zeros((30, 2, 2, 3), dtype=np.uint8), repeats=repeats[:, 5:])
    assert torch.allclose(whole.noise_ceiling[5:], part.noise_ceiling)


def test_further_splits_have_a_ceiling_of_their_own():
    signal, repeats = planted_repeats(np.random.default_rng(0))
    sketches, photos = np.arange(1500, 4000), np.arange(1500)
    repeats[sketches] += 2 * np.random.default_rng(1).normal(size=(2500, 2, 6))  # as noisy as they are unusual
    repeats[3999] = np.nan
    splits = {"train": range(1000), "test": range(1000, 1500), "sketches": sketches, "none": []}
    data = ArrayDataset(np.zeros((len(signal), 2, 2, 3), dtype=np.uint8), repeats=repeats, splits=splits)
    for rows, split in ((photos, "test"), (sketches[:-1], "sketches")):
        reached = [np.corrcoef(signal[rows, v], data.responses[rows, v])[0, 1] for v in range(2)]
        assert data.ceiling_of(split).tolist() == pytest.approx(
            reached, abs=0.05
        )  # standard error of r and of ceiling: 0.02
    assert data.ceiling_of("train") is data.ceiling_of("none") is None
    assert "over 1500 images" in data.noise_ceiling_definition
    assert "; of sketches: " in data.noise_ceiling_definition
    assert "over 2500 images" in data.noise_ceiling_definition
    assert data.shuffled().ceiling_of("sketches") is None


def test_a_further_split_without_repeats_has_no_ceiling():
    _, repeats = planted_repeats(np.random.default_rng(0), n_images=40)
    repeats[30:, :, 1:] = np.nan
    splits = {"train": range(20), "test": range(20, 30), "sketches": range(30, 40)}
    data = ArrayDataset(np.zeros((40, 2, 2, 3), dtype=np.uint8), repeats=repeats, splits=splits)
    assert data.ceiling_of("sketches") is None
    assert data.noise_ceiling is not None
    assert "sketches" not in data.noise_ceiling_definition


def test_repeats_follow_the_orientation(matrix):
    repeats = np.repeat(matrix.T[..., None], 3, axis=2)
    data = ArrayDataset(PIXELS, matrix.T, repeats=repeats, orientation="voxels,images")
    assert torch.allclose(data.noise_ceiling, torch.ones(N_VOXELS))
    assert data.n_repeats == 3
    with pytest.raises(ValueError, match=r"3 axes \(voxels,images,repeats\)"):
        ArrayDataset(PIXELS, matrix.T, repeats=matrix.T, orientation="voxels,images")


def test_places_and_regions(tmp_path, matrix):
    coords = np.arange(15.0).reshape(5, 3)
    data = ArrayDataset(PIXELS, matrix, coords=coords, rois={"V4": torch.arange(5) > 2})
    assert data.space.coords.shape == (5, 3)
    assert data.space.rois["V4"].sum() == 2
    assert ArrayDataset(PIXELS, matrix).space.coords is None
    assert ArrayDataset(PIXELS, matrix, space=BrainSpace.free(5, {"IT": torch.ones(5).bool()})).space.roi_names == (
        "IT",
    )

    (tmp_path / "masks.csv").write_text("V1,V2\n1,0\n1,0\n0,1\n0,1\n0,0\n")
    rois = ArrayDataset(PIXELS, matrix, rois=tmp_path / "masks.csv").space.rois
    assert rois["V2"].tolist() == [False, False, True, True, False]
    (tmp_path / "names.csv").write_text("roi\nV1\nV2\nV1\nIT\nIT\n")
    rois = ArrayDataset(PIXELS, matrix, rois=tmp_path / "names.csv").space.rois
    assert rois["V1"].tolist() == [True, False, True, False, False]
    (tmp_path / "wrong.csv").write_text("V1,V2\n1,0\n2,0\n0,1\n0,1\n0,0\n")
    with pytest.raises(ValueError, match="0/1 column per ROI"):
        ArrayDataset(PIXELS, matrix, rois=tmp_path / "wrong.csv")


@pytest.mark.parametrize("where", ["images", "images.zip", ".", "stimuli"])
def test_a_plain_folder_is_recognised(tmp_path, matrix, where):
    save_images(tmp_path / where.removesuffix(".zip"))
    if where == "images.zip":
        with zipfile.ZipFile(tmp_path / where, "w") as archive:
            for path in sorted((tmp_path / "images").iterdir()):
                archive.write(path, path.name)
                path.unlink()
        (tmp_path / "images").rmdir()
    np.save(tmp_path / "responses.npy", matrix.T)
    np.save(tmp_path / "repeats.npy", np.repeat(matrix.T[..., None], 2, axis=2))
    data = ArrayDataset.from_folder(tmp_path, orientation="voxels,images", seed=3)
    assert np.allclose(data.responses, matrix)
    assert data.load_image(11).getpixel((0, 0)) == (11, 0, 0)
    assert data.n_repeats == 2
    assert data.splits["test"].tolist() == np.random.RandomState(3).permutation(N_IMAGES)[-2:].tolist()


def test_folders_that_fit_no_layout_say_what_is_there(tmp_path, matrix):
    save_images(tmp_path / "lab" / "images")
    with pytest.raises(FileNotFoundError, match=r"no responses under .*\(found: images/\); expected images/"):
        ArrayDataset.from_folder(tmp_path / "lab")
    np.save(tmp_path / "lab" / "responses.npy", matrix)
    with pytest.raises(FileNotFoundError, match=r"Did you mean .*lab\?"):
        ArrayDataset.from_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"no folder .*labb\. Did you mean .*lab\?"):
        ArrayDataset.from_folder(tmp_path / "labb")
    np.savetxt(tmp_path / "lab" / "responses.csv", matrix, delimiter=",")
    with pytest.raises(ValueError, match=r"responses\.npy and responses\.csv: keep one"):
        ArrayDataset.from_folder(tmp_path / "lab")
    (tmp_path / "lab" / "responses.csv").unlink()
    (tmp_path / "lab" / "images").rename(tmp_path / "lab" / "a")
    save_images(tmp_path / "lab" / "b")
    with pytest.raises(FileNotFoundError, match="one folder or zip of images; found a, b"):
        ArrayDataset.from_folder(tmp_path / "lab")


def test_splits_of_a_folder_come_from_its_table(tmp_path, matrix):
    save_images(tmp_path / "images")
    np.save(tmp_path / "responses.npy", matrix)
    lines = ["image,split", "im10,sketches", "im2.png,train", "im0,train", "im7,test"]
    (tmp_path / "splits.csv").write_text("\n".join(lines))
    data = ArrayDataset.from_folder(tmp_path)
    assert {name: rows.tolist() for name, rows in data.splits.items()} == {
        "train": [2, 0], "val": [], "test": [7], "sketches": [10],
    }  # fmt: skip
    (tmp_path / "splits.csv").write_text("image,split\nim99,train\n")
    with pytest.raises(ValueError, match="'im99' in split 'train'; images are 'im0' to 'im11'"):
        ArrayDataset.from_folder(tmp_path)
    (tmp_path / "splits.csv").write_text("im1,train\n")
    with pytest.raises(ValueError, match="columns image and split, got im1, train"):
        ArrayDataset.from_folder(tmp_path)


def test_sessions_of_v4_are_read_as_they_were_published(test_data):
    folder = test_data / "cowley_v4"
    with pytest.raises(ValueError, match=r"holds 2 sessions: 201025, 210325\. Choose one: session='201025'"):
        ArrayDataset.from_folder(folder)
    with pytest.raises(ValueError, match=r"Unknown session '7'\. Known: 201025, 210325"):
        ArrayDataset.from_folder(folder, session=7)
    with pytest.raises(ValueError, match="Unknown session '201025'.*Did you mean the folder .*cowley_v4?"):
        ArrayDataset.from_folder(test_data, session=201025)
    data = ArrayDataset.from_folder(folder, session=201025)
    assert (len(data), data.n_voxels, data.noise_ceiling) == (1200, 89, None)
    assert [len(rows) for rows in data.splits.values()] == [864, 96, 240]
    assert data.image_ids[:2] == ["image0001", "image0002"]
    assert np.allclose(data.responses[:, 7], np.load(folder / "avg_201025.npy")[7])
    assert data.load_image(1199).size == (112, 112)

    single = ArrayDataset.from_folder(folder, session="210325")
    assert (len(single), single.n_voxels, single.n_repeats) == (640, 50, 8)
    # responses are the mean over repeats, so the ceiling must belong to it: an independent estimate from odd and even
    raw = np.load(folder / "raw_210325.npy")
    odd, even = np.nanmean(raw[..., ::2], 2), np.nanmean(raw[..., 1::2], 2)
    r = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(odd, even, strict=True)])
    assert single.noise_ceiling.median() == pytest.approx(np.median(np.sqrt(2 * r / (1 + r))), abs=0.02)
    assert pickle.loads(pickle.dumps(single)).load_image(3).size == (112, 112)


def test_a_folder_with_one_session_needs_no_choice(test_data, tmp_path):
    for name in ("images_210325.zip", "avg_210325.npy"):
        (tmp_path / name).symlink_to(test_data / "cowley_v4" / name)
    data = ArrayDataset.from_folder(tmp_path)
    assert (len(data), data.n_voxels, data.noise_ceiling) == (640, 50, None)


def test_a_single_test_image_with_repeats(rng):
    repeats = torch.rand(20, 4, 3, generator=rng).numpy()
    repeats[:, :, 2] = np.nan
    repeats[7] = 0.5  # the one that is shown three times
    data = ArrayDataset(
        torch.rand(20, 3, 8, 8, generator=rng), repeats=repeats, splits={"train": list(range(7)), "test": [7]}
    )
    assert data.n_repeats == 3
    assert data.responses[7].tolist() == [0.5] * 4


def test_images_in_folders_of_classes_are_matched_by_folder_and_name(tmp_path):
    for red, name in enumerate(["cat/1", "cat/2", "dog/1", "dog/2"]):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (red, 0, 0)).save(tmp_path / "images" / f"{name}.png")
    shown = ["dog/2.png", "cat/1.png", "dog/1.png", "cat/2.png"]
    rows = "".join(f"{name},{10 * row},0\n" for row, name in enumerate(shown))
    (tmp_path / "responses.csv").write_text(f"image,a,b\n{rows}")
    parts = ["test", "train", "val", "train"]
    lines = "".join(f"{name},{part}\n" for name, part in zip(shown, parts, strict=True))
    (tmp_path / "splits.csv").write_text(f"image,split\n{lines}")
    data = ArrayDataset.from_folder(tmp_path)
    assert data.image_ids == ["cat/1", "cat/2", "dog/1", "dog/2"]
    assert data.responses[:, 0].tolist() == [10, 30, 20, 0]
    assert {name: rows.tolist() for name, rows in data.splits.items()} == {"train": [0, 1], "val": [2], "test": [3]}
