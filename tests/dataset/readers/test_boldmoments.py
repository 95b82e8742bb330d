"""BOLD Moments read from folders in its layout: planted betas, test videos, regions, places, pictures."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("av", reason="frames of videos are read by av")

from brainnet.config import load_config
from brainnet.dataset.readers.boldmoments import BoldMoments
from brainnet.encode import encode
from brainnet.plmodel import build_dataset
from brainnet.scores import ncsnr
from brainnet.store import TokenStore
from tests.dataset.readers.moments_folder import AFFINE, GRID, N_FRAMES, dump, folder_of, level, write_moments
from tests.dataset.readers.test_things_fmri import TwoLayers


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_moments(tmp_path_factory.mktemp("moments"))


def test_responses_are_the_means_over_repeats(planted):
    data = BoldMoments(planted.root, region="")
    assert data.image_ids == planted.ids
    expected = np.concatenate([planted.train.mean(1), planted.test.mean(1)])
    np.testing.assert_allclose(data.responses, expected, atol=1e-6)
    assert [data.image_ids[i] for i in data.splits["test"]] == planted.ids[12:]
    assert len(data.splits["val"]) == 1
    assert data.n_repeats == 10


def test_the_ceiling_is_that_of_ten_repeats(planted, tmp_path):
    data = BoldMoments(planted.root, region="")
    padded = np.full((16, 10, planted.train.shape[2]), np.nan)
    padded[:12, :3], padded[12:] = planted.train, planted.test
    q = ncsnr(padded)
    torch.testing.assert_close(data.trials.ncsnr, q, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(data.noise_ceiling.double(), (q**2 / (q**2 + 0.1)).sqrt(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("packed", [lambda x: x, lambda x: (x,), lambda x: [x], lambda x: (x / 50, x)])
def test_the_published_ceiling_comes_in_several_packings(tmp_path, packed):
    write_moments(tmp_path)
    percent = np.linspace(0, 80, 12)
    dump(folder_of(tmp_path) / "prepared_betas/sub-01_noiseceiling_task-test_n-10.pkl", packed(percent))
    data = BoldMoments(tmp_path, region="lEBA+rEBA")
    np.testing.assert_allclose(data.noise_ceiling, np.sqrt(percent[[0, 1, 4, 7]] / 100), atol=1e-6)
    assert "published" in data.noise_ceiling_definition


def test_regions_are_places_among_the_columns(planted):
    whole = BoldMoments(planted.root, region="")
    assert list(whole.space.rois) == ["EBA", "V1v", "BMDgeneral", "lEBA", "lV1v", "rEBA"]
    for name in ("lEBA", "rEBA", "BMDgeneral"):
        assert np.array_equal(whole.space.rois[name], planted.rois[name])
    assert np.array_equal(whole.space.rois["EBA"], planted.rois["lEBA"] | planted.rois["rEBA"])
    usual = BoldMoments(planted.root)
    inside = torch.from_numpy(planted.rois["BMDgeneral"])
    torch.testing.assert_close(usual.responses, whole.responses[:, inside])
    assert torch.equal(usual.space.coords, whole.space.coords[inside])


@pytest.mark.parametrize("carry", [True, False])
def test_voxels_stand_in_the_mask_of_the_file_or_of_the_group(tmp_path, carry):
    made = write_moments(tmp_path, carry_mask=carry)
    if carry:
        (folder_of(tmp_path).parent / "mask/groupMask_space-MNI152.nii").unlink()
    data = BoldMoments(tmp_path, region="")
    assert data.space.mask.shape == GRID
    np.testing.assert_array_equal(data.space.mask, made.mask)
    np.testing.assert_allclose(data.space.coords, np.argwhere(made.mask) @ AFFINE[:3, :3].T + AFFINE[:3, 3], atol=1e-5)


@pytest.mark.filterwarnings("ignore:BoldMoments. where")
def test_without_any_mask_voxels_have_no_place(tmp_path):
    write_moments(tmp_path, carry_mask=False)
    (folder_of(tmp_path).parent / "mask/groupMask_space-MNI152.nii").unlink()
    assert BoldMoments(tmp_path).space.coords is None


@pytest.mark.parametrize(
    ("frame", "expected"),
    [("middle", lambda n: level(n, N_FRAMES // 2)), ("first", lambda n: level(n, 0)),
     ("mean", lambda n: np.mean([level(n, frame) for frame in range(N_FRAMES)]))],
)  # fmt: skip
def test_the_picture_of_a_video_is_one_frame_or_their_mean(planted, frame, expected):
    data = BoldMoments(planted.root, frame=frame)
    for row in (2, 13):
        picture = np.asarray(data.load_image(row), dtype=float)
        assert picture.shape == (32, 32, 3)
        assert abs(picture.mean() - expected(int(data.image_ids[row][3:]))) < 3  # a lossy codec
    other = BoldMoments(planted.root, frame="first" if frame == "middle" else "middle")
    assert data.signature() != other.signature()


@pytest.mark.filterwarnings("ignore:BoldMoments.*NaN")
def test_both_hemispheres_of_fsaverage(tmp_path):
    made = write_moments(tmp_path, n_train=3, n_test=2)
    generator = np.random.default_rng(1)
    folder, expected = folder_of(tmp_path, space="fsaverage"), []
    for task, n, repeats, names in (("train", 3, 3, made.ids[:3]), ("test", 2, 10, made.ids[3:])):
        sides = []
        for side in ("left", "right"):
            values = np.zeros((n, repeats, 163_842), np.float32)
            values[..., :50] = generator.normal(size=(n, repeats, 50))
            dump(
                folder / f"prepared_betas/sub-01_organized_betas_task-{task}_hemi-{side}_normalized.pkl",
                (values, names),
            )
            sides.append(values[..., :50].mean(1))
        expected.append(np.concatenate(sides, 1))
    data = BoldMoments(tmp_path, space="fsaverage", val=0)
    assert data.n_voxels == 2 * 163_842
    columns = [*range(50), *range(163_842, 163_842 + 50)]
    np.testing.assert_allclose(data.responses[:, columns], np.concatenate(expected), atol=1e-6)
    assert torch.equal(data.space.vertices, torch.arange(2 * 163_842))


def test_subjects_share_ids_and_pictures(tmp_path):
    one, two = (BoldMoments(write_moments(tmp_path, n, seed=n).root, n) for n in (1, 2))
    assert one.image_ids == two.image_ids
    assert one.signature() == two.signature()


def test_it_is_built_from_a_config_by_name(planted):
    words = ["DATASET.DATA_DIR", str(planted.root), "DATASET.OPTIONS", "{'region': 'EBA', 'frame': 'mean'}"]
    data = build_dataset(load_config("boldmoments", words))
    assert isinstance(data, BoldMoments)
    assert data.n_voxels == 4


@pytest.mark.parametrize(
    ("options", "words"),
    [({"subject": 11}, "1, 2, 3"), ({"space": "MNI"}, "Did you mean 'MNI152'"), ({"frame": "center"}, "middle"),
     ({"region": "FFA"}, "Known: EBA"), ({"videos": "films"}, "films")],
)  # fmt: skip
def test_wrong_options_are_one_line(planted, options, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words) as refused:
        BoldMoments(planted.root, **options)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("frame", ["middle", "mean"])
def test_a_planted_layer_map_is_found_again(tmp_path, frame):
    options = {"n_train": 60, "n_test": 16, "patterned": True}
    made = write_moments(tmp_path, **options)
    data = BoldMoments(made.root, region="", frame=frame)
    store = TokenStore.build(TwoLayers(), data, progress=False)
    n_voxels = made.train.shape[2]
    is_late, generator = np.arange(n_voxels) % 3 == 0, torch.Generator().manual_seed(1)
    drive = {}
    for layer in ("early", "late"):
        features = store.features(layer).flatten(1)
        features = (features - features.mean(0)) / features.std(0)
        weights = torch.randn(features.shape[1], n_voxels, generator=generator)
        drive[layer] = (features @ weights / features.shape[1] ** 0.5).numpy()
    write_moments(tmp_path, signal=np.where(is_late, drive["late"], drive["early"]), **options)
    data = BoldMoments(made.root, region="", frame=frame)
    found = encode(store, data, n_resamples=5, progress=False)
    best, layers = found.best_layers("model", "subject")
    assert np.array_equal(np.array(layers)[best.numpy()] == "late", is_late)
    assert found.layer_scores("model", "subject")["early"][torch.from_numpy(~is_late)].mean() > 0.7


class FrameMeans:
    """A network of videos: the mean gray of each of all frames, and of the video."""

    reads, layers = "video", ("0",)

    @staticmethod
    def preprocessing(clip):
        return torch.tensor([np.asarray(clip[k], float).mean() for k in range(len(clip))])

    def get_tokens(self, frames):
        return {"0": frames[:, None, None]}, {"0": frames.mean(1, keepdim=True)}


def test_whole_videos_reach_a_network_of_videos(planted):
    data = BoldMoments(planted.root, frame="all")
    store = TokenStore.build(FrameMeans(), data, grid=None, progress=False, dtype=torch.float32)
    assert store.image_ids == planted.ids
    for row in (0, 13):
        expected = [level(int(planted.ids[row][3:]), frame) for frame in range(N_FRAMES)]
        np.testing.assert_allclose(store.features("0", "flatten")[row], expected, atol=3)  # a lossy codec
    assert data.signature() != BoldMoments(planted.root).signature()
    with pytest.raises(ValueError, match="kind image.*videos"):
        TokenStore.build(FrameMeans(), BoldMoments(planted.root), progress=False)
