"""Texts, sounds and videos that cannot be used: one line each that names what is wrong, and a silent sound is said."""

from __future__ import annotations

import wave

import numpy as np
import pytest
from typer.testing import CliRunner

from brainnet.cli import app

NETWORKS = {"text": "clip_text:ViT-S-32-alt=random", "sound": "silero:vad=random", "video": "video:expansion:small"}


def write_sound(path, samples):
    path.parent.mkdir(exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((np.asarray(samples) * 32767).astype("<i2").tobytes())


def write_video(path, n_frames=20):
    av = pytest.importorskip("av", reason="videos are decoded by av")
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 255, (n_frames, 64, 64, 3), dtype=np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        for frame in pixels:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


def write_sound_alone(path):
    av = pytest.importorskip("av", reason="videos are decoded by av")
    path.parent.mkdir(exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def write(path, content):
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)


def extract(folder, kind, *further):
    words = ["extract", str(folder), "--backbone", NETWORKS[kind], "--out", str(folder.parent / "out"), *further]
    return CliRunner().invoke(app.app, words)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"", "a.txt is empty"),
        ("a.txt", b" \n\t\n", "a.txt is empty"),
        ("a.txt", b"\xff\xfe\x00bad", "a.txt"),
    ],
)
def test_texts_without_words(tmp_path, name, content, said):
    write(tmp_path / "texts" / name, content)
    write(tmp_path / "texts" / "b.txt", b"hello there")
    error = extract(tmp_path / "texts", "text").exception
    assert isinstance(error, ValueError)
    assert said in str(error)
    assert "\n" not in str(error)


def test_a_row_of_a_table_without_a_word(tmp_path):
    (tmp_path / "story.csv").write_text("onset,word\n0,hello\n1,\n2,you\n")
    error = extract(tmp_path / "story.csv", "text").exception
    assert isinstance(error, ValueError)
    assert "row 3 of" in str(error)


@pytest.mark.parametrize(
    ("samples", "said"), [([0.5], "1 sample at 16000"), ([], "no samples"), (None, "damaged, or no sound")]
)
def test_sounds_that_are_too_short_or_none(tmp_path, samples, said):
    pytest.importorskip("av", reason="sounds are decoded by av")
    write_sound(tmp_path / "sounds" / "b.wav", np.random.default_rng(0).normal(0, 0.1, 16000))
    if samples is None:
        write(tmp_path / "sounds" / "a.wav", b"no sound" * 100)
    else:
        write_sound(tmp_path / "sounds" / "a.wav", samples)
    error = extract(tmp_path / "sounds", "sound").exception
    assert isinstance(error, ValueError)
    assert said in str(error)
    assert "'a'" in str(error) or "a.wav" in str(error)


def test_silence_is_said_and_goes_on(tmp_path):
    pytest.importorskip("av", reason="sounds are decoded by av")
    write_sound(tmp_path / "sounds" / "a.wav", np.zeros(16000))
    write_sound(tmp_path / "sounds" / "b.wav", np.random.default_rng(0).normal(0, 0.1, 16000))
    done = extract(tmp_path / "sounds", "sound")
    assert done.exit_code == 0, done.output
    assert "a sound is silent" in " ".join(done.output.split())  # as the command line says a warning


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("gap", "cannot read frame"),
        ("half", "damaged, or no video"),
        ("junk", "damaged, or no video"),
        ("none", "damaged, or no video"),
        ("sound alone", "no pictures in it"),
    ],
)
def test_videos_without_frames_or_with_a_broken_one(tmp_path, spoil, said):
    path = tmp_path / "videos" / "a.mp4"
    if spoil == "sound alone":
        write_sound_alone(path)
    else:
        write_video(path)
        content = path.read_bytes()
        third = len(content) // 3
        path.write_bytes({
            "gap": content[:third] + bytes(third) + content[2 * third :],
            "half": content[: len(content) // 2],
            "junk": b"no film " * 200,
            "none": b"",
        }[spoil])  # fmt: skip
    error = extract(tmp_path / "videos", "video", "--option", "n_frames=6").exception
    assert isinstance(error, ValueError)
    assert said in str(error)
    assert "a.mp4" in str(error)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("*.npy"))


def test_a_window_longer_than_the_video(tmp_path):
    write_video(tmp_path / "videos" / "a.mp4")
    error = extract(tmp_path / "videos", "video", "--window", "10").exception
    assert "a window of 10 s is longer than" in str(error)
