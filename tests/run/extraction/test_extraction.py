"""Features in files: the numbers of the store in every format, and nothing of another extraction beside them."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.io import loadmat
from torch import nn

from brainnet._work import Interrupted
from brainnet.backbone import HookedBackbone, build_backbone
from brainnet.features import rows as feature_rows
from brainnet.run.extraction import extraction as run_extract
from brainnet.run.extraction.extraction import FORMATS, extract_features
from brainnet.run.extraction.feature_files import read_features
from brainnet.run.rsa.rdms import write_rdms
from brainnet.stimuli import Images
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing

ROOT = Path(__file__).resolve().parents[3]
READERS = {
    "npy": np.load,
    "csv": lambda path: pd.read_csv(path, index_col="image").to_numpy(),
    "h5": lambda path: h5py.File(path)["features"][:],
    "mat": lambda path: loadmat(path)["features"],
    "pt": lambda path: torch.load(path)["features"].numpy(),
}


def visible(out):
    """What a folder holds, but for the lock."""
    return {path.name for path in out.iterdir()}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(7):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"p{i + 5}.png")  # p10 comes after p9
    return folder


@pytest.fixture
def expected(pictures):
    def of(layer, pool):
        paths = [pictures / f"p{i + 5}.png" for i in range(7)]
        store = TokenStore.build(
            build_backbone("expansion:small"), paths, grid=None, dtype=torch.float32, progress=False
        )
        return store.features(layer, pool).numpy()

    return of


@pytest.mark.parametrize("file_format", READERS)
def test_every_format_holds_the_features_of_the_store(pictures, expected, tmp_path, monkeypatch, file_format):
    monkeypatch.setattr(feature_rows, "IMAGES", 3)  # several chunks
    out = tmp_path / "out"
    written = extract_features(
        pictures, out, "expansion:small", layers=["2", "4"], pool="both", file_format=file_format, batch_size=3,
        progress=False,
    )  # fmt: skip
    assert list(written) == ["2", "4"]
    for layer, path in written.items():
        np.testing.assert_allclose(READERS[file_format](path), expected(layer, "both"), rtol=1e-4, atol=1e-5)
    names = [f"p{i + 5}" for i in range(7)]
    assert (out / "images.txt").read_text().split() == names
    assert visible(out) == {f"2.{file_format}", f"4.{file_format}", "images.txt", "run.json"}
    if file_format == "csv":
        assert pd.read_csv(written["2"])["image"].tolist() == names
    if file_format == "h5":
        assert [name.decode() for name in h5py.File(written["2"])["images"]] == names


def test_rdms_of_the_files_are_those_of_the_pictures(pictures, tmp_path):
    extract_features(pictures, tmp_path / "features", "expansion:small", layers=["3", "5"], grid=(8, 8), progress=False)
    of_files = write_rdms(tmp_path / "features", tmp_path / "a", progress=False)
    how = {"backbone": "expansion:small", "layers": ["3", "5"], "grid": (8, 8)}
    of_pictures = write_rdms(pictures, tmp_path / "b", progress=False, **how)
    assert of_files.names == of_pictures.names
    assert list(of_files.conditions) == list(of_pictures.conditions) == [f"p{i + 5}" for i in range(7)]
    torch.testing.assert_close(of_files.values, of_pictures.values)


def test_an_interrupted_extraction_goes_on(pictures, tmp_path, monkeypatch):
    seen = []

    def stopping(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(run_extract, "remove_targets", stopping)  # when all files are written, and none is in its place
        with pytest.raises(Interrupted, match="7 of 7 pictures"):
            extract_features(pictures, tmp_path / "out", "expansion:small", layers=["1"], progress=False)
    load = run_extract.Images.__getitem__
    monkeypatch.setattr(run_extract.Images, "__getitem__", lambda self, i: seen.append(i) or load(self, i))
    extract_features(pictures, tmp_path / "out", "expansion:small", layers=["1"], progress=False, batch_size=16)
    assert not seen  # no picture was decoded again
    assert visible(tmp_path / "out") == {"1.npy", "images.txt", "run.json"}


def test_nothing_of_another_extraction_is_left_beside_a_new_one(pictures, tmp_path):
    out = tmp_path / "out"
    extract_features(pictures, out, "expansion:small", layers=["1", "2"], progress=False, keep_tokens=True)
    assert len(TokenStore.open(out / "tokens.bin")) == 7
    with pytest.raises(FileExistsError, match="--overwrite"):
        extract_features(pictures, out, "expansion:small", layers=["3"], progress=False)
    (out / "mine.npy").touch()
    extract_features(pictures, out, "expansion:small", layers=["3"], progress=False, overwrite=True)
    assert visible(out) == {"3.npy", "mine.npy", "images.txt", "run.json"}
    assert json.loads((out / "run.json").read_text())["settings"]["layers"] == ["3"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"file_format": "hdf6"}, "Did you mean 'hdf5'"),
        ({"pool": "men"}, "Did you mean 'mean'"),
        ({"layers": ["9"]}, "Unknown layer '9'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(pictures, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        extract_features(pictures, tmp_path / "out", "expansion:small", progress=False, **settings)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size .* at least 1, got 0"),
        ({"batch_size": -1}, "batch_size .* at least 1, got -1"),
        ({"grid": (0, 4)}, r"pair \(height, width\) .* got \(0, 4\)"),
        ({"grid": "8"}, "got '8'"),
        ({"grid": (4, 4, 4)}, "pair"),
        ({"reduce": "center", "train": []}, "train names no picture"),
    ],
)
def test_numbers_that_cannot_be_are_told_before_any_work(pictures, settings, message):
    with pytest.raises(ValueError, match=message):
        run_extract.extract("expansion:small", pictures, layers=["1"], progress=False, **settings)


@pytest.mark.parametrize("nothing", [[], np.zeros((0, 20, 20, 3), np.uint8)])
def test_no_pictures_are_told(nothing, tmp_path):
    with pytest.raises(ValueError, match="no pictures"):
        run_extract.extract("expansion:small", nothing, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_an_unfinished_extraction_of_something_else_is_told(pictures, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(run_extract, "_finish", lambda *_, **__: {})  # as after a kill
        extract_features(pictures, out, "expansion:small", layers=["1"], progress=False)
    with pytest.raises(ValueError, match="another extraction"):
        extract_features(pictures, out, "expansion:small", layers=["2"], progress=False)


class Sizes(nn.Module):
    """Layers of several sizes, exactly known."""

    def get_tokens(self, images):
        local = {"whole": images, "half/1": nn.functional.avg_pool2d(images, 2), "one": images.mean((2, 3), True)}
        return local, {name: values.mean((2, 3)) for name, values in local.items()}


def test_features_are_the_exact_activations_of_layers_of_any_size(pictures, tmp_path):
    """Also those of a backbone of one's own, and no map of one position becomes sixty-four."""
    images = Images(pictures)
    pixels = torch.stack([images.image(i, Preprocessing()) for i in range(7)])
    written = extract_features(pictures, tmp_path / "a", Sizes(), progress=False)
    assert list(written) == ["whole", "half/1", "one"]
    for layer, values in Sizes().get_tokens(pixels)[0].items():
        assert np.array_equal(np.load(written[layer]), values.flatten(1).numpy())
    assert np.load(written["one"]).shape == (7, 3)
    written = extract_features(pictures, tmp_path / "b", Sizes(), grid=(8, 8), layers=["one", "whole"], progress=False)
    assert [np.load(path).shape for path in written.values()] == [(7, 3), (7, 3 * 64)]
    with pytest.raises(ValueError, match="'half/1'"):
        extract_features(pictures, tmp_path / "c", Sizes(), layers=["half/2"], progress=False)


def test_layers_whose_names_look_alike_have_files_of_their_own(pictures, tmp_path):
    class Alike(Sizes):
        def get_tokens(self, images):
            local = {name: images[:, :, :1, :1] + i for i, name in enumerate(("a/b", "a_b", "a b"))}
            return local, {name: values.mean((2, 3)) for name, values in local.items()}

    written = extract_features(pictures, tmp_path / "out", Alike(), progress=False)
    assert len({path.name for path in written.values()}) == 3
    first = [np.load(path)[0, 0] for path in written.values()]
    assert np.allclose(np.diff(first), 1)


def test_network_options_reach_any_family(pictures, tmp_path):
    def of(**options):
        name = options.pop("name", "torchvision:squeezenet1_1=random")
        out = tmp_path / "_".join(map(str, (name, *options.values()))).replace("/", "")
        written = extract_features(pictures, out, name, layers=["features.3"], pool="mean", progress=False, **options)
        return np.load(written["features.3"]), json.loads((out / "run.json").read_text())

    plain, card = of(seed=3)
    assert card["settings"]["seed"] == 3
    assert not np.allclose(plain, of(seed=4)[0])
    half = of(seed=3, precision="bf16")[0]
    assert half.dtype == np.float32
    assert 0 < np.abs(half - plain).max() < 0.05 * np.abs(plain).max()
    small, card = of(seed=3, image_size=(64, 64), device="cpu")
    assert not np.allclose(small, plain)
    assert "64, 64" in card["source"]["fingerprint"]["preprocessing"]
    for options, named in [
        ({"device": "cuda:99"}, "cuda:99"), ({"device": "gpu"}, "gpu"), ({"precision": "fp8"}, "fp8"),
        ({"sede": 1}, "sede"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match=named):
            of(**options)
    with pytest.raises(ValueError, match="seed"):
        extract_features(pictures, tmp_path / "x", Sizes(), seed=1, progress=False)
    with pytest.raises(TypeError, match="int"):
        extract_features(pictures, tmp_path / "x", 3, progress=False)


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize(
    "name",
    ["../victim.txt", "../victim.npy", "/absolute/victim.npy", "sub/victim.npy", "..", ".", "", "notes.txt", 7, ["a"]],
)
def test_a_strangers_results_folder_takes_nothing_else_away(pictures, tmp_path, name, damaged):
    out = tmp_path / "out"
    victims = [tmp_path / "victim.txt", tmp_path / "victim.npy", out / "sub" / "victim.npy", out / "notes.txt"]
    extract_features(pictures, out, "expansion:small", layers=["1"], pool="mean", progress=False)
    (out / "sub").mkdir()
    for victim in victims:
        victim.write_text("years of work")
    card = json.loads((out / "run.json").read_text())
    listed = str(victims[1]) if name == "/absolute/victim.npy" else name
    card["files"] = listed if damaged else {**card["files"], str(listed): "0" * 64}
    card["settings"]["layers"] = [*card["settings"]["layers"], listed]
    (out / "run.json").write_text(json.dumps(card))
    extract_features(pictures, out, "expansion:small", layers=["2"], pool="mean", progress=False, overwrite=True)
    assert all(victim.read_text() == "years of work" for victim in victims)
    assert (out / "1.npy").exists() == damaged


@pytest.mark.parametrize("own", ["tokens.bin", "tokens.bin.json", ".unfinished", ".rows", ".brainnet.lock"])
def test_nothing_is_written_through_a_strangers_links(pictures, tmp_path, own):
    (tmp_path / "out").mkdir()
    (tmp_path / "victim").mkdir() if own in (".unfinished", ".rows") else (tmp_path / "victim").write_text(
        "years of work"
    )
    (tmp_path / "out" / own).symlink_to(tmp_path / "victim")
    with pytest.raises(ValueError, match="link"):
        extract_features(pictures, tmp_path / "out", "expansion:small", layers=["1"], progress=False, overwrite=True)
    assert (tmp_path / "victim").is_dir() or (tmp_path / "victim").read_text() == "years of work"


def test_what_a_kill_leaves_is_never_read_and_goes_with_the_next(pictures, tmp_path, monkeypatch):
    """Killed at every step of putting the files down; then another pool and fewer layers."""

    class Killed(BaseException):
        pass

    moved, real = [], os.replace

    def replace(source, target):
        if str(target).endswith(".npy") and ".unfinished" not in str(target):
            moved.append(target)
            if len(moved) == kill_at:
                raise Killed
        real(source, target)

    for kill_at in (1, 2, 3):
        out = tmp_path / f"out{kill_at}"
        moved.clear()
        with monkeypatch.context() as patch:
            patch.setattr(run_extract.os, "replace", replace)
            with pytest.raises(Killed):
                extract_features(pictures, out, "expansion:small", layers=["1", "2", "3"], progress=False)
        assert all(len(np.load(path)) == 7 for path in out.glob("*.npy"))  # whole, if there at all
        shutil.rmtree(tmp_path / "copy", ignore_errors=True)
        with pytest.raises(ValueError, match="another extraction"):
            extract_features(pictures, out, "expansion:small", layers=["1"], pool="mean", progress=False)
        extract_features(pictures, out, "expansion:small", layers=["1"], pool="mean", progress=False, overwrite=True)
        assert visible(out) == {"1.npy", "images.txt", "run.json"}
        assert np.load(out / "1.npy").shape == (7, 108)


def test_a_kill_after_the_card_leaves_nothing_for_long(pictures, tmp_path, monkeypatch):
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(run_extract.RowsFolder, "remove", lambda self: None)
        extract_features(pictures, out, "expansion:small", layers=["1"], progress=False)
    assert ".rows" in visible(out)
    with pytest.raises(FileExistsError, match="--overwrite"):
        extract_features(pictures, out, "expansion:small", layers=["1"], progress=False)
    assert visible(out) == {"1.npy", "images.txt", "run.json"}


EXTRACT = """
import sys, time
from brainnet.cli.app import command_line
from brainnet.backbone.families.expansion import Expansion
real = Expansion.compute_tokens
def slow(self, images):
    time.sleep({pause})
    return real(self, images)
Expansion.compute_tokens = slow
from brainnet.features import rows
rows.IMAGES = 2
sys.argv = ["brainnet", "extract", {pictures!r}, "--backbone", "expansion:small", "--layer", "1", "--batch-size", "2",
            "--pool", "mean", "--out", {out!r}, "--format", {file_format!r}]
command_line()
"""


def start(pictures, out, pause, file_format="npy"):
    code = EXTRACT.format(pictures=str(pictures), out=str(out), pause=pause, file_format=file_format)
    return subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def wait_for_a_chunk(out):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if list(out.glob(".rows/*.rows")):
            return
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_extraction_says_what_is_kept_and_a_second_one_that_it_is_under_way(pictures, tmp_path, how):
    out = tmp_path / "out"
    process = start(pictures, out, pause=1)
    wait_for_a_chunk(out)
    with pytest.raises(BlockingIOError, match="another process is writing"):
        extract_features(pictures, out, "expansion:small", layers=["1"], pool="mean", progress=False)
    process.send_signal(how)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert "of 7 pictures" in " ".join(said.split())
    assert "Traceback" not in said
    again = start(pictures, out, pause=0)
    assert again.communicate(timeout=60)[1] == ""
    assert np.load(out / "1.npy").shape == (7, 108)


def test_a_picture_replaced_after_a_kill_is_noticed(pictures, tmp_path):
    out = tmp_path / "out"
    process = start(pictures, out, pause=1)
    wait_for_a_chunk(out)
    process.kill()
    process.communicate()
    Image.new("RGB", (50, 40), (1, 2, 3)).save(pictures / "p8.png")
    again = start(pictures, out, pause=0)
    said = " ".join(again.communicate(timeout=60)[1].split())
    assert again.returncode == 2
    assert "images:" in said
    assert "--overwrite" in said
    assert not (out / "1.npy").exists()


def test_a_hooked_network_of_ones_own_is_extracted(pictures, tmp_path):
    network = HookedBackbone(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()), ["1"], preprocessing=Preprocessing((16, 16)))
    written = extract_features(pictures, tmp_path / "out", network, layers=["1"], pool="global", progress=False)
    assert np.load(written["1"]).shape == (7, 2)


def test_layers_may_be_patterns(tmp_path):
    pictures = tmp_path / "images"
    pictures.mkdir()
    for i in range(3):
        Image.fromarray(np.full((32, 32, 3), 60 * i, np.uint8)).save(pictures / f"{i}.png")
    files = extract_features(
        pictures, tmp_path / "out", "torchvision:squeezenet1_1=random", layers=["features.[34]", "features.6@0"],
        pool="mean", image_size=(64, 64), progress=False,
    )  # fmt: skip
    assert list(files) == ["features.3", "features.4", "features.6@0"]
    assert all(len(np.load(path)) == 3 for path in files.values())


@pytest.mark.slow
@pytest.mark.parametrize("file_format", FORMATS)
def test_memory_does_not_grow_with_the_number_of_pictures(file_format):
    """Features of 10 MB and 50 MB; what holds a table would hold 40 MB more."""
    few, many = (
        float(subprocess.run(
            [sys.executable, "-m", "benchmarks", "extraction", "--peak", file_format, "--images", str(n)],
            capture_output=True, text=True, check=True, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"},
        ).stdout.split()[-1])
        for n in (200, 1000)
    )  # fmt: skip
    assert many - few < 12


@pytest.mark.slow
def test_killed_at_random_moments_the_files_are_those_of_an_undisturbed_run(pictures, tmp_path):
    """As often as ``BRAINNET_TEST_KILLS`` says, by default 20 times; chunks of two pictures, so that some are kept."""
    formats = ("npy", "mat", "zarr", "net2brain")

    def finished(out, file_format):
        said = start(pictures, out, 0, file_format).communicate(timeout=120)
        assert (out / "run.json").is_file(), said
        return {
            str(path.relative_to(out)): path.read_bytes()
            for path in sorted(out.rglob("*"))
            if path.is_file() and path.name != "run.json"
        }, json.loads((out / "run.json").read_text())["files"]

    began = time.monotonic()
    whole = {one: finished(tmp_path / one, one) for one in formats}
    duration = (time.monotonic() - began) / len(formats) + 4 * 0.3
    moments, kept = random.Random(0), 0
    for number in range(int(os.environ.get("BRAINNET_TEST_KILLS", "20"))):
        file_format, out = formats[number % len(formats)], tmp_path / str(number)
        process = start(pictures, out, 0.3, file_format)
        time.sleep(moments.uniform(0.5, 1) * duration)
        process.kill()
        process.communicate()
        kept += 0 < len(list(out.glob(".rows/*.rows"))) < 4
        (out / "run.json").unlink(missing_ok=True)  # of one that was through
        assert finished(out, file_format) == whole[file_format]
    assert kept, "no kill left some of the chunks"


@pytest.fixture
def classes(pictures):
    """The pictures in folders of two classes, one of them damaged."""
    for name, kind in zip(sorted(pictures.iterdir()), ["cat", "dog"] * 4, strict=False):
        (pictures / kind).mkdir(exist_ok=True)
        name.rename(pictures / kind / name.name)
    (pictures / "dog" / "p6.png").write_bytes(b"damaged")
    return pictures


def test_bad_pictures_are_left_out_where_that_is_asked_for(classes, tmp_path, monkeypatch):
    out = tmp_path / "out"
    how = {"layers": ["1"], "pool": "mean", "progress": False}
    with pytest.raises(ValueError, match=r"dog.p6\.png"):
        extract_features(classes, out, "expansion:small", **how)
    shutil.rmtree(out, ignore_errors=True)
    decoded = []
    load = run_extract.Images.__getitem__
    monkeypatch.setattr(run_extract.Images, "__getitem__", lambda self, i: decoded.append(i) or load(self, i))
    with monkeypatch.context() as patch:
        patch.setattr(run_extract, "remove_targets", lambda out: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            extract_features(classes, out, "expansion:small", skip_bad=True, **how)
    monkeypatch.setattr("brainnet.stimuli.decoding.as_rgb", None)  # on resuming nothing is decoded, nor checked, again
    written = extract_features(classes, out, "expansion:small", skip_bad=True, **how)
    ids = (out / "images.txt").read_text().split()
    assert ids == ["cat/p5", "cat/p7", "cat/p9", "cat/p10", "dog/p8", "dog/p11"]
    assert np.load(written["1"]).shape[0] == 6
    assert pd.read_csv(out / "targets.csv")["target"].tolist() == [0, 0, 0, 0, 1, 1]
    assert (out / "classes.txt").read_text().split() == ["cat", "dog"]
    card = json.loads((out / "run.json").read_text())
    assert list(card["source"]["skipped"]) == ["dog/p6.png"]
    assert (card["source"]["layout"], card["source"]["n_classes"]) == ("classes", 2)
    assert visible(out) == {"1.npy", "images.txt", "targets.csv", "classes.txt", "run.json"}
    assert list(read_features(out).layers) == ["1"]  # targets are no features
    assert read_features(out).ids == ids


def test_targets_of_another_extraction_do_not_stay(classes, pictures, tmp_path):
    out, how = tmp_path / "out", {"layers": ["1"], "progress": False}
    extract_features(classes, out, "expansion:small", skip_bad=True, **how)
    extract_features(classes / "cat", out, "expansion:small", overwrite=True, **how)
    assert visible(out) == {"1.npy", "images.txt", "run.json"}


def test_pictures_may_be_a_set_with_choices_of_its_own(pictures, expected, tmp_path):
    pixels = np.stack([np.array(image) for image in Images(pictures)])
    with h5py.File(tmp_path / "nsd.hdf5", "w") as file:
        file["imgBrick"] = pixels
    (tmp_path / "list.txt").write_text("pictures/p7.png\npictures/p10.png\n")
    chosen = expected("1", "mean")[[2, 5]]
    for source in (Images(tmp_path / "nsd.hdf5", rows=[2, 5]), tmp_path / "list.txt"):
        out = tmp_path / Images.of(source).layout
        written = extract_features(source, out, "expansion:small", layers=["1"], pool="mean", progress=False)
        np.testing.assert_allclose(np.load(written["1"]), chosen, rtol=1e-4, atol=1e-5)
    assert (tmp_path / "hdf5/images.txt").read_text().split() == ["2", "5"]
    assert (tmp_path / "list/images.txt").read_text().split() == ["p7", "p10"]
    rdms = write_rdms(Images(tmp_path / "nsd.hdf5", rows=[0, 2, 5]), tmp_path / "rdms", backbone="expansion:small",
                      layers=["1"], progress=False)  # fmt: skip
    assert list(rdms.conditions) == ["0", "2", "5"]
    assert json.loads((tmp_path / "rdms/run.json").read_text())["source"]["path"].endswith("nsd.hdf5, imgBrick")
