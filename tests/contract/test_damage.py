"""Damaged files are never believed: truncated, emptied, a bit flipped, or another run's in their place.

Every file that one command keeps and a later one reads is damaged. Either the line ends with the results of an
undisturbed run, because the file was made again, or it fails in one line and names the file. The slow test tries them
all, the fast one a few.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.contract.test_bad_inputs import call
from tests.contract.test_interruption import content
from tests.contract.toy_inputs import lines, write_inputs

DAMAGES = ("truncated", "emptied", "flipped at the start", "flipped in the middle", "flipped at the end", "swapped")


@dataclass(frozen=True)
class Kind:
    """A kind of kept file: who makes it, who reads it, and what of the result must stay the same."""

    makes: tuple[str, ...]  # names of lines, run in this order on one folder
    file: str  # pattern below the folder; the first that fits
    keep: tuple[str, ...]  # patterns of what lies there when the reader begins; the rest is taken away
    reads: str  # name of a line
    result: Callable[[Path], object] = content
    swapped: bool = True  # False where another's whole file is simply another input


def numbers(out: Path) -> dict[str, object]:
    """Of a fit: its scores and selectors, to the digits in which sums in another order may differ."""
    with np.load(out / "selectors.npz", allow_pickle=False) as saved:
        arrays = {k: np.round(saved[k].astype(float), 4).tolist() for k in ("layer", "space", "scale")}
    return {**arrays, "metrics": json.loads((out / "metrics.json").read_text())["test"]["all"]["r"]["mean"]}


def predictions(out: Path) -> object:
    return (out / "predictions" / "predictions.npy").read_bytes()


def picture(out: Path) -> object:
    return (out / "maps.svg").read_bytes()


def compared(out: Path) -> object:
    return (out / "compared" / "scores.csv").read_bytes()


def geometry(out: Path) -> object:
    return (out / "geometry" / "rdms.csv").read_bytes()


KINDS = {
    "tokens": Kind(("encode with a store",), "store", ("store*",), "encode with a store"),
    "manifest of tokens": Kind(("encode with a store",), "store.json", ("store*",), "encode with a store"),
    "job of encode": Kind(("encode",), "jobs/*ridge_features.3*.npz", ("jobs/*",), "encode"),
    "weights of encode": Kind(
        ("encode with weights",), "weights/*banded*.npz", ("*",), "predict by weights", predictions
    ),
    "chunk of a searchlight": Kind(("searchlight",), "chunks/chunk_00000.npz", ("chunks/*",), "searchlight"),
    "manifest of chunks": Kind(("searchlight",), "chunks/manifest.json", ("chunks/*",), "searchlight"),
    "last checkpoint": Kind(("fit half",), "checkpoints/last.ckpt", ("*",), "fit on", numbers),
    "best checkpoint": Kind(("fit half",), "checkpoints/best.ckpt", ("*",), "fit on", numbers),
    "settings of a fit": Kind(("fit half",), "config.yaml", ("*",), "fit on", numbers),
    "digests of a fit": Kind(("fit half",), "data.json", ("*",), "fit on", numbers),
    "model": Kind(("fit",), "model.ckpt", ("*",), "predict", predictions),
    "selectors": Kind(("fit",), "selectors.npz", ("*",), "plot", picture),
    "scores": Kind(("fit",), "scores.csv", ("*",), "plot", picture),
    "card": Kind(("fit",), "run.json", ("*",), "show", lambda out: None, swapped=False),
    "model beside its card": Kind(("fit",), "run.json", ("*",), "predict", predictions),
    "features": Kind(("extract",), "features.3*.npy", ("*",), "rdm its features", geometry),
    "names of pictures": Kind(("extract",), "images.txt", ("*",), "rdm its features", geometry, swapped=False),
    "predictions": Kind(("fit", "predict"), "predictions/predictions.npy", ("*",), "rdm its predictions", geometry),
    "RDMs": Kind(("rdm",), "rdms.npz", ("*",), "compare its RDMs", compared, swapped=False),
}


def words_of(inputs: Path, out: Path) -> dict[str, list[str]]:
    toy = lines(inputs)
    at = ["--out", str(out), "--quiet"]
    images = str(inputs / "data" / "images")
    half = [word if toy["fit"][i - 1] != "TRAINER.MAX_EPOCHS" else "2" for i, word in enumerate(toy["fit"])]
    return {
        **{name: [*toy[name], *at] for name in ("extract", "rdm", "fit", "encode", "searchlight")},
        "encode with a store": [*toy["encode"], "TOKENS.STORE", str(out / "store"), *at],
        "encode with weights": [*toy["encode"], "--keep-weights", *at],
        "fit half": [*half, *at],
        "fit on": [*toy["fit"], "--resume", *at],
        "predict": ["predict", str(out), images, "--out", str(out / "predictions"), "--quiet"],
        "predict by weights": ["predict", str(out), images, "--method", "banded", "--out", str(out / "predictions"),
                               "--quiet"],
        "plot": ["plot", str(out)],
        "show": ["runs", "show", str(out)],
        "rdm its features": ["rdm", str(out), "--out", str(out / "geometry"), "--quiet"],
        "rdm its predictions": ["rdm", str(out / "predictions"), "--out", str(out / "geometry"), "--quiet"],
        "compare its RDMs": ["rsa", "compare", str(out / "rdms.npz"), "--model", str(out / "rdms.npz"),
                             "--permutations", "20", "--out", str(out / "compared"), "--quiet"],
    }  # fmt: skip


def take_away(out: Path, keep: tuple[str, ...]) -> None:
    kept = {path for pattern in keep for path in out.glob(pattern)}
    kept |= {below for path in kept if path.is_dir() for below in path.rglob("*")}
    for path in sorted(out.rglob("*"), reverse=True):
        if path.is_file() and path not in kept:
            path.unlink()
        elif path.is_dir() and not any(path.iterdir()):
            path.rmdir()


def harm(path: Path, damage: str, other: Path) -> None:
    raw = bytearray(path.read_bytes())
    if damage == "truncated":
        raw = raw[: len(raw) // 2]
    elif damage == "emptied":
        raw = bytearray()
    elif damage == "swapped":
        raw = bytearray(other.read_bytes())
    else:
        place = {"start": 60, "middle": len(raw) // 2, "end": len(raw) - 30}[damage.rpartition(" ")[2]]
        if path.name == "run.json":  # one digit of each of three results: when it was made is no result
            place = raw.index({"start": b'"seed": 0', "middle": b'"r": {', "end": b'"files"'}[damage.split()[-1]]) + 8
        raw[min(place, len(raw) - 1)] ^= 1
    assert raw != path.read_bytes(), "nothing was damaged"
    path.write_bytes(raw)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """``finished(kind, whose)``: a folder as it lies before the reader begins, and what an undisturbed reader gives."""
    root = tmp_path_factory.mktemp("damage")
    inputs = {"own": write_inputs(root / "own inputs")}
    inputs["other"] = shutil.copytree(inputs["own"], root / "other inputs")
    rng = np.random.default_rng(5)  # the other's responses, models and pictures
    for name in ("data/responses.npy", "data/repeats.npy", "model.npy"):
        values = np.load(inputs["other"] / name)
        np.save(inputs["other"] / name, values + rng.uniform(0.1, 1, values.shape))
    pictures = sorted((inputs["other"] / "data" / "images").glob("*.png"))
    pictures[0].write_bytes(pictures[1].read_bytes())
    made: dict[tuple, tuple[Path, object]] = {}

    def of(kind: Kind, whose: str) -> tuple[Path, Path, object]:
        key = (kind.makes, kind.keep, kind.reads, kind.result, whose)
        if key not in made:
            out = root / f"{len(made)}" / "out"
            words = words_of(inputs[whose], out)
            for name in kind.makes:
                code, said = call(words[name])
                assert code == 0, said
            take_away(out, kind.keep)
            before = shutil.copytree(out, root / f"{len(made)}" / "before")
            result = None
            if whose == "own":
                code, said = call(words[kind.reads])
                assert code == 0, said
                result = kind.result(out)
                shutil.rmtree(out)
            made[key] = before, result
        return inputs[whose], *made[key]

    return of


def outcome(kind: Kind, damage: str, finished) -> str:
    """What became of a damaged file: "made again", the line that named it, or "BELIEVED"."""
    inputs, before, expected = finished(kind, "own")
    other = next(finished(kind, "other")[1].glob(kind.file)) if damage == "swapped" else before
    out = before.parent / "out"  # the same place: names of folders stand in cards and identities
    if out.exists():
        shutil.rmtree(out)
    shutil.copytree(before, out)
    harmed = next(out.glob(kind.file))
    name = str(harmed.relative_to(out))
    harm(harmed, damage, other)
    words = words_of(inputs, out)[kind.reads]
    code, said = call(words)
    if words[:2] == ["runs", "show"] and damage.startswith("flipped") and not code:
        return "BELIEVED"
    assert "Traceback" not in said, said
    if code:
        return "named: " + " ".join(said.split())[-160:]
    found = kind.result(out)
    if isinstance(found, dict) and kind.result is content:  # a bit that says nothing, as of a date, may stay
        found, wanted = ({k: v for k, v in x.items() if k != name} for x in (found, expected))
        return "made again" if found == wanted else "BELIEVED"
    return "made again" if found == expected else "BELIEVED"


CASES = [(name, damage) for name, kind in KINDS.items() for damage in DAMAGES if damage != "swapped" or kind.swapped]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "damage"), CASES)
def test_no_damaged_file_is_believed(name, damage, finished):
    assert outcome(KINDS[name], damage, finished) != "BELIEVED"


@pytest.mark.parametrize("damage", DAMAGES)
def test_no_damaged_chunk_is_believed(damage, finished):
    assert outcome(KINDS["chunk of a searchlight"], damage, finished) != "BELIEVED"
