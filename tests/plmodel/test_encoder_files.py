from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import save_file

from brainnet._files import file_digest
from brainnet.plmodel.encoder_files import (
    CONFIG,
    WEIGHTS,
    check_plain_options,
    is_encoder,
    is_plain,
    read_encoder,
    write_encoder,
)
from brainnet.space import BrainSpace, sensor_space

WEIGHT = {"b": torch.arange(3.0), "a": torch.ones(2, 2, dtype=torch.bool)}


def spaces():
    rois = {"V1": torch.tensor([1, 0, 1]) > 0, "roi: odd/…": torch.zeros(3) > 0}
    mask = torch.zeros(2, 2, 2).bool()
    mask[0, 0, :], mask[1, 1, 1] = True, True
    return [
        BrainSpace.free(3, rois),
        BrainSpace(coords=torch.rand(3, 3)),
        BrainSpace(vertices=torch.tensor([5, 1, 20000]), mesh="fsaverage5", rois=rois),
        BrainSpace(mask=mask, affine=torch.eye(4), rois=rois),
        sensor_space(["Oz", "Pz", "Cz"], torch.tensor([0.1])),
        None,
    ]


@pytest.mark.parametrize("space", spaces(), ids=lambda space: repr(space)[:40])
def test_what_was_written_is_read_and_the_same_encoder_gives_the_same_bytes(space, tmp_path):
    for name in ("one", "two"):
        write_encoder(tmp_path / name, "linear", {"layers": ["x"]}, WEIGHT, space, "# card\n", {"maps.png": b"p"})
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["README.md", CONFIG, "maps.png", WEIGHTS]
    assert all((tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes() for name in files)
    found = read_encoder(tmp_path / "one")
    assert found.config["layers"] == ["x"]
    assert {name: value.tolist() for name, value in found.tensors.items()} == {k: v.tolist() for k, v in WEIGHT.items()}
    if space is None:
        assert found.space is None
        return
    assert repr(found.space) == repr(space)
    for name, value in space.to_arrays().items():
        assert (found.space.to_arrays()[name] == value).all()


def test_an_encoder_is_replaced_and_anything_else_is_kept(tmp_path):
    folder = write_encoder(tmp_path / "card", "linear", {}, WEIGHT, None, "one")
    write_encoder(folder, "linear", {}, WEIGHT, None, "two")
    assert (folder / "README.md").read_text() == "two"
    (folder / CONFIG).unlink()  # an export that was broken off
    assert is_encoder(write_encoder(folder, "linear", {}, WEIGHT, None, "three"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="mine"):
        write_encoder(tmp_path / "mine", "linear", {}, WEIGHT, None, "")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / CONFIG).write_text('{"library_name": "transformers"}')
    with pytest.raises(FileExistsError, match="other"):
        write_encoder(tmp_path / "other", "linear", {}, WEIGHT, None, "")
    with pytest.raises(ValueError, match="space:x"):
        write_encoder(tmp_path / "new", "linear", {}, {"space:x": torch.ones(1)}, None, "")


def changed(**entries):
    def change(folder):
        config = json.loads((folder / CONFIG).read_text())
        for name, value in entries.items():
            config.pop(name) if value is None else config.update({name: value})
        (folder / CONFIG).write_text(json.dumps(config))

    return change


def rewritten(**tensors):
    """Other weights, and the digest of them."""

    def change(folder):
        save_file(tensors, folder / WEIGHTS)
        changed(weights_sha256=file_digest(folder / WEIGHTS))(folder)

    return change


def bad_bytes(content):
    def change(folder):
        (folder / WEIGHTS).write_bytes(content)
        changed(weights_sha256=file_digest(folder / WEIGHTS))(folder)

    return change


HUGE = (1 << 40).to_bytes(8, "little") + b"{}"
BEYOND = (lambda header: len(header).to_bytes(8, "little") + header)(
    b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
)


def one_number_changed(folder):
    raw = bytearray((folder / WEIGHTS).read_bytes())
    raw[-1] ^= 1
    (folder / WEIGHTS).write_bytes(raw)


BAD = {
    "a number changed": (one_number_changed, "is not the file"),
    "no config": (lambda f: (f / CONFIG).unlink(), "has no config.json"),
    "no weights": (lambda f: (f / WEIGHTS).unlink(), "weights of this encoder are missing"),
    "config cut short": (lambda f: (f / CONFIG).write_text((f / CONFIG).read_text()[:40]), "config.json is damaged"),
    "config is a list": (lambda f: (f / CONFIG).write_text("[1]"), "config.json is damaged"),
    "config is binary": (lambda f: (f / CONFIG).write_bytes(b"\xff\x00"), "config.json is damaged"),
    "config is deep": (lambda f: (f / CONFIG).write_text("[" * 100_000), "config.json is damaged"),
    "another library": (changed(library_name="transformers"), "another program's"),
    "a later format": (changed(format=7, brainnet_version="9.1"), r"newer brainnet, 9\.1.*pip install -U brainnet"),
    "no number": (changed(format="one"), "format in its config.json is 'one'"),
    "a truth value": (changed(format=True), "format"),
    "format nought": (changed(format=0), "format"),
    "another kind": (changed(kind="tree"), "'tree'"),
    "no digest": (changed(weights_sha256=None), "weights_sha256"),
    "weights cut short": (lambda f: (f / WEIGHTS).write_bytes((f / WEIGHTS).read_bytes()[:-3]), "is damaged"),
    "weights of another": (rewritten(x=torch.ones(1)), "space of its voxels"),
    "a pickle": (bad_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR."), "cannot be read"),
    "nothing": (bad_bytes(b""), "cannot be read"),
    "a header without end": (bad_bytes(HUGE), "cannot be read"),
    "a tensor beyond the file": (bad_bytes(BEYOND), "cannot be read"),
    "no space": (changed(space=[]), "space of its voxels"),
    "fewer voxels": (changed(space={"n_voxels": 2, "rois": ["V1"]}), "space of its voxels"),
    "voxels without number": (changed(space={"n_voxels": "3", "rois": ["V1"]}), "space of its voxels"),
    "a region twice": (changed(space={"n_voxels": 3, "rois": ["V1", "V1"]}), "space of its voxels"),
    "an argument of no space": (changed(space={"n_voxels": 3, "rois": ["V1"], "x": 1}), "space of its voxels"),
    "an unknown mesh": (changed(space={"n_voxels": 3, "rois": ["V1"], "mesh": "moon"}), "space of its voxels"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_a_strangers_folder_ends_in_one_line(name, tmp_path):
    space = BrainSpace.free(3, {"V1": torch.tensor([1, 0, 1]) > 0})
    folder = write_encoder(tmp_path / "card", "linear", {}, WEIGHT, space, "")
    change, message = BAD[name]
    change(folder)
    with pytest.raises((ValueError, FileNotFoundError), match=message) as said:
        read_encoder(folder, "me/encoder")
    assert "\n" not in str(said.value)
    assert str(said.value).startswith("me/encoder")


def test_files_are_bounded(tmp_path, monkeypatch):
    folder = write_encoder(tmp_path / "card", "linear", {}, WEIGHT, None, "")
    for name in ("LARGEST_CONFIG", "LARGEST_WEIGHTS"):
        with monkeypatch.context() as patch:
            patch.setattr(f"brainnet.plmodel.encoder_files.{name}", 10)
            with pytest.raises(ValueError, match="10 B is the most"):
                read_encoder(folder)


@pytest.mark.parametrize("value", ["/etc/passwd", "..", "net.py:Net", "http://a.org/x", "net.PTH", "a\\b", "~/x",
                                   {"a": 1}, ["ok", "x.pkl"], "x" * 300, object()])  # fmt: skip
def test_options_name_no_file_and_no_address(value):
    assert not is_plain(value)
    with pytest.raises(ValueError, match="bank"):
        check_plain_options({"bank": value}, "its network", "me/encoder")


def test_options_that_run_downloaded_code_are_refused():
    for options in ({"source": "hub"}, {"trust_remote_code": True}):
        with pytest.raises(ValueError, match="downloaded code"):
            check_plain_options(options, "its network", "me/encoder")
    check_plain_options({"source": "timm", "seed": 3, "layers": ["features.3", 2], "bank": None}, "its network", "x")
