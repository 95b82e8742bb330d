"""A run on a time series of texts, sounds or clips: what it predicts of new stimuli in time, and how it travels."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from brainnet.config import load_config
from brainnet.dataset import TimeSeries
from brainnet.plmodel.encoder_files import CONFIG
from brainnet.run.encoding.encoding import encode_subjects
from brainnet.run.fitting.prediction import predict
from brainnet.run.fitting.training import check_data, fit
from brainnet.run.page.run_page import write_page
from brainnet.run.page.scenes import scenes_of
from brainnet.run.record.courses import read_courses
from brainnet.run.report import write_report
from brainnet.run.sharing.sharing import export_model
from tests.backbone.toy_sequences import WORDS

N, SECONDS, TR, RUNS = 6, 4.0, 2.0, ("run1", "run2", "run3")
LONGEST = 3  # delay, in volumes
NETWORKS = {
    "image": ["BACKBONE.NAME", "expansion:small"],
    "text": ["BACKBONE.NAME", "clip_text:ViT-S-32-alt", "BACKBONE.WEIGHTS", "random"],
    "sound": ["BACKBONE.NAME", "silero:vad", "BACKBONE.WEIGHTS", "random"],
    "video": ["BACKBONE.NAME", "video:expansion:small", "BACKBONE.OPTIONS", "{n_frames: 2}"],
}
LAYER = {"image": "3", "text": "4", "sound": "2", "video": "2"}  # of an encoding


class Story(NamedTuple):
    """A kind of stimuli, the folder of their series, the settings of a fit to it, and a table of its test run."""

    kind: str
    folder: Path
    settings: list[str]
    table: Path


def write_sound(path, rng):
    from scipy.io import wavfile

    loudness = np.repeat(rng.uniform(0, 1, 8), 8000)
    wavfile.write(path.with_suffix(".wav"), 16000, (3000 * loudness * rng.normal(size=64000)).astype(np.int16))
    return path.with_suffix(".wav")


def write_picture(path, rng):
    pixels = rng.integers(0, 255, (4, 4, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
    Image.fromarray(pixels).save(path.with_suffix(".png"))
    return path.with_suffix(".png")


def write_clip(path, rng):
    import av

    path = path.with_suffix(".mkv")
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=2)
        stream.width = stream.height = 32
        stream.pix_fmt = "bgr0"
        for pixels in rng.integers(0, 255, (8, 4, 4, 3)).astype(np.uint8).repeat(8, 1).repeat(8, 2):
            for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


WRITE = {"image": write_picture, "sound": write_sound, "video": write_clip}


def write_table(path, rows):
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def written(kind, folder):
    """A series of three runs that show six stimuli each, one after another."""
    rng = np.random.default_rng(0)
    (folder / "runs").mkdir(parents=True)
    (folder / "stimuli").mkdir()
    rows, table, column = [], [], "text" if kind == "text" else "path"
    for run in RUNS:
        for place in range(N):
            name = f"{run}_{place}"
            if kind == "text":
                shown = " ".join(rng.choice(WORDS, 6))
                (folder / "stimuli" / f"{name}.txt").write_text(shown)
            else:
                shown = WRITE[kind](folder / "stimuli" / name, rng).resolve()
            rows.append((run, place * SECONDS, SECONDS, name))
            table += [(shown, place * SECONDS, SECONDS)] if run == RUNS[-1] else []
        np.save(folder / "runs" / f"{run}.npy", rng.normal(size=(int(N * SECONDS / TR) + LONGEST, 5)))
    write_table(folder / "stimuli.csv", [("run", "onset", "duration", "stimulus"), *rows])
    settings = ["DATASET.DATA_DIR", str(folder), "DATASET.OPTIONS", "{tr: 2.0, val: run2, test: run3, degree: 0}",
                *NETWORKS[kind]]  # fmt: skip
    return Story(kind, folder, settings, write_table(folder / "new.csv", [(column, "onset", "duration"), *table]))


def one_picture(folder):
    folder.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "black.png")
    return folder


@pytest.fixture(scope="module", params=NETWORKS)
def story(request, tmp_path_factory):
    for package in {"text": ("open_clip",), "sound": ("av",), "video": ("av",)}.get(request.param, ()):
        pytest.importorskip(package)
    return written(request.param, tmp_path_factory.mktemp(request.param) / "data")


@pytest.fixture(scope="module")
def trained(story, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "run"
    words = ["MODEL.OPTIONS", "{delays: [1, 3]}", "TRAINER.MAX_EPOCHS", "2", "TRAINER.VAL_EVERY", "2"]
    fit(load_config("series", [*story.settings, *words]), out, progress=False)
    return out


def check_of_test_run(predicted, courses, before):
    """Predictions of the stimuli of the test run are those of the test run; ``before`` volumes read what was before."""
    n = int(N * SECONDS / TR) + before  # a table says no length: it lasts until its longest delay is over
    assert predicted.shape == (n, courses.prediction.shape[1])
    expected = courses.prediction[before:n]
    spread = expected.std(0).max()
    assert spread > 1e-3  # no constant, though the responses are noise and weights are small
    np.testing.assert_allclose(predicted[before:], expected, rtol=1e-3, atol=0.01 * spread)


def test_a_fit_predicts_volumes_and_travels(story, trained, tmp_path):
    path = predict(trained, story.table, tmp_path / "of_run", progress=False)
    check_of_test_run(np.load(path), read_courses(trained / "courses.npz"), LONGEST)
    card = export_model(trained, tmp_path / "card")
    assert predict(card, story.table, tmp_path / "of_card", progress=False).read_bytes() == path.read_bytes()
    said = (card / "README.md").read_text(encoding="utf-8")
    if story.kind != "image":
        assert "image" not in said.split("## What its maps do not say")[0].replace("images.txt", "")
    assert "model(images)" not in said
    for part in (f"to {story.kind}s, voxel by voxel", "15 test volumes", "onset and duration", "volume of 2 s"):
        assert part in said
    assert str(story.folder) not in said + (card / CONFIG).read_text()
    with pytest.raises(ValueError, match=r"onset and duration, in seconds"):
        predict(card, story.folder / "stimuli", tmp_path / "without", progress=False)


@pytest.mark.parametrize("delays", [(1, 3), (2,)])
def test_an_encoding_predicts_volumes_and_travels(story, delays, tmp_path):
    """With one delay a row for each stimulus, and not for each volume, would have the right number of features."""
    how = {"delays": delays, "layers": [LAYER[story.kind]], "keep_weights": True, "n_resamples": 20, "alphas": (1e-3,)}
    encode_subjects(load_config("series", story.settings), tmp_path / "run", progress=False, **how)
    said = write_report([tmp_path / "run"], tmp_path / "report.html").read_text().lower()
    assert "test volumes" in said
    assert "test images" not in said
    path = predict(tmp_path / "run", story.table, tmp_path / "of_run", progress=False)
    (courses,) = (tmp_path / "run" / "courses").iterdir()
    check_of_test_run(np.load(path), read_courses(courses), max(delays))
    card = export_model(tmp_path / "run", tmp_path / "card")
    assert predict(card, story.table, tmp_path / "of_card", progress=False).read_bytes() == path.read_bytes()
    with pytest.raises(ValueError, match=r"onset and duration, in seconds"):
        predict(tmp_path / "run", story.folder / "stimuli", tmp_path / "without", progress=False)


def test_pages_of_a_series_say_volumes(story, trained, tmp_path):
    (scene,) = scenes_of(trained)
    assert scene.maps["Score"].meaning == "Correlation of prediction and response over test volumes"
    assert not [one.meaning for one in scene.maps.values() if "image" in one.meaning]
    with pytest.raises(ValueError, match=f"responses to {story.kind}s over time.*leave out --images"):
        write_page([trained], tmp_path / "page.html", images=one_picture(tmp_path / "pictures"))
    with pytest.raises(ValueError, match="--page shows the maps of images"):
        predict(trained, story.table, tmp_path / "out", with_page=True, progress=False)


def test_splits_of_a_series_are_runs(tmp_path):
    runs = {name: np.random.default_rng(0).normal(size=(20, 3)) for name in ("a", "b", "c")}
    with pytest.raises(ValueError, match=r"no val and no test volumes.*whole runs by val and test in DATASET\.OPTIONS"):
        check_data(TimeSeries(runs, tr=2.0), "train")
    held_out = TimeSeries(runs, tr=2.0, val="b", test="c", block=100.0)
    with pytest.warns(UserWarning, match="single block of 20 volumes"):
        assert held_out.blocks_of("test") is None


def test_a_fresh_process_predicts_without_the_data_set(story, trained, tmp_path):
    expected = predict(trained, story.table, tmp_path / "of_run", progress=False).read_bytes()
    card = export_model(trained, tmp_path / "card")
    code = (
        "import sys\nfrom brainnet.plmodel import PLModel\nfrom brainnet.run.fitting.prediction import predict\n"
        "model = PLModel.from_pretrained(sys.argv[1])\nassert model.tr == 2.0 and not model.training\n"
        "predict(sys.argv[1], sys.argv[2], sys.argv[3], progress=False)"
    )
    words = [sys.executable, "-c", code, card, story.table, tmp_path / "fresh"]
    subprocess.run(list(map(str, words)), check=True, timeout=900, cwd=tmp_path)
    assert (tmp_path / "fresh" / "predictions.npy").read_bytes() == expected
