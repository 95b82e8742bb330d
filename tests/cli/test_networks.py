from __future__ import annotations

import json
import wave

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from brainnet.backbone import build_backbone
from brainnet.cli import app as cli
from brainnet.stimuli import Sounds
from tests.backbone.toy_sequences import SIZES, save, save_tokenizer
from tests.tables import unlisted_columns


@pytest.fixture
def classes(tmp_path):
    """Two classes of pictures, one of which is damaged."""
    for name in ("cat/1.png", "cat/2.png", "dog/1.png", "dog/2.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (len(name), 0, 0)).save(tmp_path / "set" / name)
    (tmp_path / "set/dog/1.png").write_bytes(b"damaged")
    (tmp_path / "order.txt").write_text("dog\ncat\n")
    return tmp_path / "set"


def test_the_choices_of_pictures_reach_the_extraction(classes, tmp_path):
    out = tmp_path / "out"
    words = f"extract {classes} -b expansion:small -l 1 --pool mean --quiet --out".split()
    chosen = ["--skip-bad", "--classes", str(tmp_path / "order.txt"), "--rows", "0:3"]
    result = CliRunner().invoke(cli.app, [*words, str(out), *chosen])
    assert result.exit_code == 0, result.output
    assert (out / "images.txt").read_text().split() == ["dog/2", "cat/1"]
    assert (out / "classes.txt").read_text().split() == ["dog", "cat"]
    assert result.output.split()[-2:] == [str(out / "targets.csv"), str(out / "classes.txt")]
    assert not unlisted_columns(tmp_path)
    for extra, message in [(["--layout", "class"], "Did you mean 'classes'"), (["--fps", "2"], "fps is for a video"),
                           (["--rows", "9"], "no row 9"), ([], "dog/1.png")]:  # fmt: skip
        result = CliRunner().invoke(cli.app, [*words, str(tmp_path / "other"), *extra])
        assert message in str(result.exception), extra
        assert not extra or not (tmp_path / "other").exists()


@pytest.fixture
def sounds(tmp_path):
    """Three files of sound, of two lengths."""
    pytest.importorskip("av", reason="sounds are decoded by av")
    folder = tmp_path / "sounds"
    folder.mkdir()
    for number, seconds in enumerate((1, 2, 1)):
        noise = np.random.default_rng(number).normal(0, 3000, 16000 * seconds).astype("<i2")
        with wave.open(str(folder / f"s{number}.wav"), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(noise.tobytes())
    return folder


def run(*words):
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def test_a_network_of_sounds_reads_sounds(sounds, tmp_path):
    out = tmp_path / "out"
    line = ["extract", sounds, "-b", "silero:vad=random", "-l", "4", "--option", "steps=4", "--quiet", "--out"]
    run(*line, out)
    features = np.load(out / "4.npy")
    assert features.shape == (3, 128 * 4)
    assert (out / "images.txt").read_text().split() == ["s0", "s1", "s2"]
    backbone = build_backbone("silero:vad", weights="random", layers=["4"], steps=4)
    expected = backbone.get_tokens(list(Sounds(sounds))).local["4"].flatten(1)
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)
    card = json.loads((out / "run.json").read_text())
    assert card["source"]["kind"] == "sound"
    assert card["source"]["path"] == str(sounds)
    run(*line, tmp_path / "windows", "--window", "0.5", "--rows", "1,0")
    assert (tmp_path / "windows/images.txt").read_text().split()[:5] == ["s1@0", "s1@0.5", "s1@1", "s1@1.5", "s0@0"]
    run("rdm", sounds, "-b", "silero:vad=random", "--out", tmp_path / "rdms", "--quiet", "--window", "0.5")
    with np.load(tmp_path / "rdms/rdms.npz") as found:
        assert max(found[name].shape[-1] for name in found.files if found[name].ndim) >= 28
    for extra, said in [
        (["--fps", "2"], "--fps is of images"),
        (["--skip-bad"], "images that cannot be read can be left out"),
        (["--step", "1"], "--step goes with --window"),
        (["--window", "3"], "longer than"),
        (["--option", "steps"], "NAME=VALUE"),
        (["--option", "stepps=3"], "Did you mean 'steps'"),
    ]:
        result = CliRunner().invoke(cli.app, [*map(str, line), str(tmp_path / "no"), *extra])
        assert said in str(result.exception), (extra, result.exception)


def test_a_network_of_texts_reads_a_table(tmp_path):
    transformers = pytest.importorskip("transformers")
    save(transformers.BertModel(transformers.BertConfig(**SIZES, vocab_size=80)), tmp_path / "net")
    save_tokenizer(tmp_path / "net")
    (tmp_path / "story.csv").write_text("onset,word\n0,bird\n0.4,sings\n1.1,in\n2.5,tree\n")
    line = ["extract", tmp_path / "story.csv", "-b", f"transformers:{tmp_path / 'net'}", "--pool", "class", "--quiet"]
    run(*line, "--out", tmp_path / "words")
    assert np.load(tmp_path / "words/2.npy").shape == (4, 32)
    run(*line, "--window", "1", "--out", tmp_path / "seconds")
    backbone = build_backbone(f"transformers:{tmp_path / 'net'}")
    expected = backbone.get_tokens(["bird sings", "in", "tree"]).global_["2"]
    np.testing.assert_allclose(np.load(tmp_path / "seconds/2.npy"), expected, rtol=1e-4, atol=1e-5)
    layers = json.loads(run("layers", f"transformers:{tmp_path / 'net'}", "--json", "--option", "steps=4"))
    rows = {row["name"]: row for row in layers["modules"]}
    assert layers["default"] == ["0", "1", "2"]
    assert rows["0"]["tokens"] == rows["encoder.layer.1"]["tokens"] == [32, 1, 4]
    assert rows["pooler"]["tokens"] == [32, 1, 1]
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("a bird")
    words = ["extract", str(tmp_path / "texts"), "-b", "expansion:small", "--out", str(tmp_path / "no")]
    assert "It holds texts" in str(CliRunner().invoke(cli.app, words).exception)


def test_videos_are_shown_to_a_network_of_images(tmp_path):
    av = pytest.importorskip("av", reason="videos are decoded by av")
    folder = tmp_path / "films"
    folder.mkdir()
    for name in ("a", "b"):
        with av.open(str(folder / f"{name}.mkv"), "w") as container:
            stream = container.add_stream("ffv1", rate=4)
            stream.width = stream.height = 64
            stream.pix_fmt = "bgr0"
            for k in range(4):
                frame = np.full((64, 64, 3), 40 * k + 9 * (name == "b"), np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
    words = ["-b", "video:expansion:small", "-l", "1", "--option", "n_frames=2", "--option", "agg_frames=all"]
    run("extract", folder, *words, "--quiet", "--pool", "mean", "--out", tmp_path / "out")
    assert np.load(tmp_path / "out/1.t1.npy").shape[0] == 2
    words = ["extract", str(folder), "-b", "expansion:small", "--out", str(tmp_path / "no")]
    assert "video:expansion:small reads videos" in str(CliRunner().invoke(cli.app, words).exception)
