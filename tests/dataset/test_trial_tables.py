"""Tables of trials: one line per trial, responses beside or elsewhere, in any order; and what is refused."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.dataset import ArrayDataset
from brainnet.dataset.trial_tables import images_of, read_trials
from brainnet.scores import ncsnr

N_IMAGES, N_VOXELS, N_RUNS = 8, 6, 3


@pytest.fixture
def recording():
    """Lines (image, session, run) and responses (n_trials, n_voxels): two sessions of three runs, every image twice."""
    generator = np.random.default_rng(0)
    lines, rows = [], []
    signal = 2 * generator.normal(size=(N_IMAGES, N_VOXELS))
    for session in ("mon", "tue"):
        for run in range(N_RUNS):
            for image in generator.permutation(N_IMAGES)[: N_IMAGES - run]:
                lines.append((f"im{image}.png", session, run))
                rows.append(signal[image] + generator.normal(size=N_VOXELS) + 3 * run)
    return lines, np.array(rows)


def write(folder, lines, values=None, columns=("image", "session", "run"), name="trials.csv"):
    folder.mkdir(exist_ok=True)
    (folder / "images").mkdir(exist_ok=True)
    for i in range(N_IMAGES + 1):
        Image.new("RGB", (4, 4), (i, 0, 0)).save(folder / "images" / f"im{i}.png")
    voxels = [] if values is None else [f"v{i}" for i in range(values.shape[1])]
    text = [",".join((*columns, *voxels))]
    for i, line in enumerate(lines):
        text.append(",".join(map(str, (*line, *([] if values is None else values[i])))))
    (folder / name).write_text("\n".join(text))


def by_hand(lines, values):
    """Image -> standardized trials (within each run of each session), with its first run."""
    labels = [line[1:] for line in lines]
    z = np.empty_like(values)
    for label in set(labels):
        rows = [i for i, other in enumerate(labels) if other == label]
        z[rows] = (values[rows] - values[rows].mean(0)) / values[rows].std(0)
    return {f"im{i}": z[[k for k, line in enumerate(lines) if line[0] == f"im{i}.png"]] for i in range(N_IMAGES)}


@pytest.mark.parametrize("kind", ["columns", "npy", "h5", "rows", "tsv"])
def test_means_repeats_and_runs_come_from_the_table(tmp_path, recording, kind):
    lines, values = recording
    if kind == "columns":
        write(tmp_path, lines, values)
    elif kind == "rows":  # the table in another order than the responses
        order = np.random.default_rng(1).permutation(len(lines))
        write(tmp_path, [(*lines[i], i) for i in sorted(order, key=lambda i: (lines[i][1], lines[i][2], i))],
              columns=("image", "session", "run", "row"))  # fmt: skip
        np.save(tmp_path / "responses.npy", values)
    else:
        write(tmp_path, lines, name="trials.csv")
        if kind == "tsv":
            text = (tmp_path / "trials.csv").read_text()
            (tmp_path / "trials.csv").unlink()
            (tmp_path / "trials.tsv").write_text(text.replace(",", "\t"))
        if kind == "h5":
            with h5py.File(tmp_path / "responses.h5", "w") as file:
                file["betas/responses"] = values
        else:
            np.save(tmp_path / "responses.npy", values)
    data = ArrayDataset.from_folder(tmp_path, test=2, val=1)
    expected = by_hand(lines, values)
    assert data.image_ids == [f"im{i}" for i in range(N_IMAGES)]  # the ninth picture has no trial
    np.testing.assert_allclose(data.responses, np.stack([z.mean(0) for z in expected.values()]), atol=1e-5)
    most = max(map(len, expected.values()))
    padded = np.stack([np.pad(z, ((0, most - len(z)), (0, 0)), constant_values=np.nan) for z in expected.values()])
    torch.testing.assert_close(data.trials.ncsnr, ncsnr(padded), rtol=1e-4, atol=1e-4)
    first = [next(line[2] for line in lines if line[0] == f"{name}.png") for name in data.image_ids]
    assert data.groups.tolist() == first
    assert data.noise_ceiling.shape == (N_VOXELS,)
    assert "K = " in data.noise_ceiling_definition


def test_trials_in_any_order_are_brought_together(tmp_path, recording):
    """Sorted by image, as some tables are; the runs are found again, and nothing is lost."""
    lines, values = recording
    order = sorted(range(len(lines)), key=lambda i: lines[i][0])
    write(tmp_path, [lines[i] for i in order], values[order])
    data = ArrayDataset.from_folder(tmp_path)
    expected = by_hand(lines, values)
    np.testing.assert_allclose(data.responses, np.stack([z.mean(0) for z in expected.values()]), atol=1e-5)


def test_standardization_is_a_choice(tmp_path, recording):
    lines, values = recording
    write(tmp_path, lines, values)
    data = ArrayDataset.from_settings(str(tmp_path), 0, standardize=False)
    rows = [i for i, line in enumerate(lines) if line[0] == "im3.png"]
    np.testing.assert_allclose(data.responses[3], values[rows].mean(0), atol=1e-5)
    (tmp_path / "trials.csv").unlink()
    np.save(tmp_path / "responses.npy", np.zeros((N_IMAGES + 1, 2)))
    with pytest.raises(ValueError, match="no trials.csv"):
        ArrayDataset.from_settings(str(tmp_path), 0, standardize=False)


def test_without_repeats_there_is_no_ceiling(tmp_path):
    values = np.random.default_rng(0).normal(size=(N_IMAGES, 2))
    write(tmp_path, [(f"im{i}",) for i in range(N_IMAGES)], values, ["image"])
    data = ArrayDataset.from_folder(tmp_path)
    assert data.noise_ceiling is None
    assert data.groups is None
    assert data.noise_ceiling_definition == "none: no repeats were given"


@pytest.mark.parametrize(
    ("text", "responses", "words"),
    [
        ("picture,v\na,1\n", None, "columns picture, v; one must be image"),
        ("image,v\na,1\n,2\n", None, "line 3: the trial names no image"),
        ("image,v,note\na,1,good\n", None, "column 'note' holds 'good'"),
        ("image\na\n", None, "no such columns"),
        ("image\na\nb\n", np.zeros((3, 2)), "2 trials and the responses have 3 rows"),
        ("image,row\na,0\nb,3\n", np.zeros((3, 2)), "line 3: row 3; the responses have rows 0 to 2"),
        ("image,row\na,-1\n", np.zeros((3, 2)), "line 2: row -1"),
        ("image\na\n", np.zeros(3), r"shape \(3,\)"),
    ],
)
def test_tables_that_cannot_be_read_are_refused(tmp_path, text, responses, words):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=words):
        read_trials(tmp_path / "t.csv", responses)


def test_an_image_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="names an image 'im9.png'; there are 'im1' to 'im2'"):
        images_of(["im1.png", "im9.png"], ["im1", "im2"], "t.csv")
    with pytest.raises(FileNotFoundError, match="none.csv"):
        read_trials(tmp_path / "none.csv")
    write(tmp_path, [("im1.png", 1)], np.ones((1, 2)), ("image", "run"))
    np.save(tmp_path / "repeats.npy", np.zeros((1, 1, 1)))
    with pytest.raises(ValueError, match="repeats.npy: keep one"):
        ArrayDataset.from_folder(tmp_path)
