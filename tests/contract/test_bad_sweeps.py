"""A wrong sweep ends in one clear line: no traceback, no folder left behind, nothing outside of ``--out`` touched."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from brainnet.run.sweep import run_sweep
from tests.contract.test_bad_inputs import call, states
from tests.run.sweep.toys import FIT, HERE, asked, network, subject

BUILD = f"{HERE}:build"
SMALL = {"methods": ["rsa"], "controls": [], "networks": 1, "subjects": 1}


def small(**more) -> dict:
    """A sweep of one cell."""
    return asked(**{**SMALL, **more})


def without(key: str) -> dict:
    return {name: value for name, value in small().items() if name != key}


def with_method(**more) -> dict:
    return small(methods=[{"method": "ridge", **more}])


def with_settings(**more) -> dict:
    return small(settings={**small()["settings"], **more})


def of_data(folder: str, **options) -> dict:
    return small(subjects={"s0": {"DATASET.NAME": "array", "DATASET.DATA_DIR": folder, "DATASET.OPTIONS": options}})


# name of the case -> (what sweep.yaml holds: text, or a mapping; what the line says of it)
FILES = {
    "empty": ("", "KEY: value"),
    "a list": ("- ridge\n- rsa\n", "KEY: value"),
    "a word": ("ridge", "KEY: value"),
    "no YAML": ("backbones: [a", "is no YAML"),
    "a tab": ("backbones:\n\t- a", "is no YAML"),
    "bytes": (b"\xff\xfe\x00\x01", "is no YAML"),
    "an object of Python": ("backbones: !!python/object/apply:os.system ['touch harm']", "is no YAML"),
    "a subject twice": ("subjects:\n  s0: {SEED: 1}\n  s0: {SEED: 2}\nbackbones: [expansion:small]\nmethods: [rsa]",
                        "'s0' stands twice"),
    "an unknown key": ({**small(), "contrls": ["random"]}, "Did you mean 'controls'?"),
    "no backbones": (without("backbones"), "names no backbones"),
    "no subjects": (without("subjects"), "names no subjects"),
    "no methods": (without("methods"), "names no methods"),
    "backbones is a word": (small(backbones="expansion:small"), "backbones is a list"),
    "an unknown backbone": (small(backbones=["expansion:smal"]), "Did you mean"),
    "an unknown family": (small(backbones=["expansoin:small"]), "Did you mean 'expansion'?"),
    "a pattern of nothing": (small(backbones=["timm:vit_smoll*"]), "vit_smoll"),
    "words of nothing": (small(backbones=[{"task": "clasification"}]), "clasification"),
    "an unknown word of the catalogue": (small(backbones=[{"tsk": "x"}]), "Did you mean 'task'?"),
    "a size that is none": (small(backbones=[{"max_params": "many"}]), "many"),
    "a network file that is not there": (small(backbones=["absent.py:Net"]), "absent.py"),
    "two networks of one label": (small(backbones=[network(0), {**network(1), "label": "net00"}]), "'net00'"),
    "one network twice": (small(backbones=[network(0), network(0)]), "'net00'"),
    "options that are a list": (small(backbones=[{"name": BUILD, "options": [1]}]), "options"),
    "all networks excluded": (small(exclude=["net*"]), "without networks"),
    "an unknown network is excluded": (small(exclude=["net01"]), "Did you mean 'net00'?"),
    "an unknown method": (small(methods=["rigde"]), "Did you mean 'ridge'?"),
    "a method file that is not there": (small(methods=["absent.py:Lasso"]), "absent.py"),
    "one method twice": (small(methods=["rsa", "rsa"]), "two methods are called 'rsa'"),
    "a method of no network": (with_method(backbones=["net09"]), "Did you mean 'net00'?"),
    "a method of no subject": (with_method(subjects=["s9"]), "Known: s0"),
    "an unknown metric": (small(methods=[{"method": "rsa", "metric": "corelation"}]), "correlation"),
    "a metric that is a list": (small(methods=[{"method": "rsa", "metric": ["cosine"]}]), "metric"),
    "an unknown pool": (with_method(pool="men"), "Did you mean 'mean'?"),
    "a pool that is a list": (with_method(pool=["mean"]), "pool"),
    "no layers": (with_method(layers=[]), "layers"),
    "no penalties": (with_method(alphas=[]), "alphas"),
    "a penalty of infinity": (with_method(alphas=[float("inf")]), "alphas"),
    "a penalty below 0": (with_method(alphas=[-1]), "alphas"),
    "folds that are a word": (with_method(cv="five"), "five"),
    "one fold": (with_method(cv=1), "cv"),
    "a setting of a method that is unknown": (small(methods=[{**FIT, "settings": {"TRAINER.EPOCHS": 2}}]),
                                              "TRAINER.MAX_EPOCHS"),
    "an unknown control": (small(controls=["shufled"]), "Did you mean 'shuffled'?"),
    "controls is a word": (small(controls="random"), "controls is a list"),
    "an unknown setting": (with_settings(**{"MODEL.GIRD": [4, 4]}), "MODEL.GRID"),
    "a setting of another kind": (with_settings(**{"MODEL.GRID": "wide"}), "MODEL.GRID"),
    "an unknown config": (small(config="demmo"), "demmo"),
    "a config that is a number": (small(config=3), "config"),
    "subjects is a list": (small(subjects=["s0"]), "subjects is a mapping"),
    "a subject that is a word": (small(subjects={"s0": "here"}), "subject 's0'"),
    "a folder of data that is not there": (of_data("nowhere"), "nowhere"),
    "an unknown option of the data": (small(subjects={"s0": subject(0, voxles=3)}), "voxels"),
    "data of too few images": (small(subjects={"s0": subject(0, n_images=1)}), "s0"),
    "an unknown data set": (small(subjects={"s0": {"DATASET.NAME": "aray"}}), "Did you mean 'array'?"),
    "a seed below 0": (small(seed=-1), "seed is a whole number"),
    "a seed that is a fraction": (small(seed=1.5), "seed is a whole number"),
    "a seed that is too large": (small(seed=2**70), "seed"),
    "resamples that are a word": (small(resamples="many"), "resamples"),
    "a budget below 0": (small(keep_tokens=-1), "keep_tokens is a size"),
    "a budget that is a word": (small(keep_tokens="much"), "keep_tokens is a size"),
    "a budget of nan": (small(keep_tokens=float("nan")), "keep_tokens is a size"),
    "keep_voxels that is a word": (small(keep_voxels="no"), "keep_voxels is true or false"),
    "an image size of three numbers": (small(image_size=[3, 32, 32]), "image_size"),
    "an image size that is a word": (small(image_size="large"), "image_size"),
    "an option that the network does not take": (small(backbones=[{"name": BUILD, "options": {"sed": 1}}]),
                                                 "Did you mean 'seed'?"),
    "an image size of words": (small(image_size=["a", "b"]), "image_size"),
    "an image size below 0": (small(image_size=[-3, 32]), "image_size"),
    "an unknown device": (small(device="gpu0"), "gpu0"),
    "a device that is a number": (small(device=7), "device"),
    "an unknown precision": (small(precision="fp23"), "precision"),
}  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(holds: str | bytes | dict) -> None:
    if isinstance(holds, dict):
        holds = yaml.safe_dump(holds)
    Path("sweep.yaml").write_bytes(holds if isinstance(holds, bytes) else holds.encode())


def refused(*words: str) -> str:
    """What a line says that is refused; without line breaks."""
    code, said = call(["sweep", *words])
    assert code == 2, said
    assert "Traceback" not in said
    assert said.count("error: ") == 1, said
    return " ".join(said.split())


@pytest.mark.parametrize("case", FILES)
def test_a_wrong_file_is_refused_before_anything_runs(case, home):
    holds, expected = FILES[case]
    written(holds)
    before = states(home, home / "none")
    said = refused("run", "sweep.yaml", "--out", "new/out", "--quiet")
    assert "".join(expected.split()) in "".join(said.split())  # a terminal breaks lines anywhere
    assert states(home, home / "none") == before
    assert [path.name for path in home.iterdir()] == ["sweep.yaml"], "a folder is left behind"


# ---------------------------------------------------------------------- lines and folders

OTHER = small(subjects={"other": subject(1)})
LINES = {
    "an unknown engine": (["run", "sweep.yaml", "--out", "new/out", "--engine", "proceses"],
                          "Did you mean 'processes'?"),
    "an option without a value": (["run", "sweep.yaml", "--out", "new/out", "--option", "cores"], "NAME=VALUE"),
    "a definition that is not there": (["run", "absent.yaml", "--out", "new/out"], "no file absent.yaml"),
    "a definition that is a folder": (["run", ".", "--out", "new/out"], "no file"),
    "an out that is a file": (["run", "sweep.yaml", "--out", "sweep.yaml"], "is a file"),
    "an out within a file": (["run", "sweep.yaml", "--out", "sweep.yaml/out"], "cannot be written"),
    "the status of no sweep": (["status", "absent"], "no plan.json in absent"),
    "a comparison of no sweep": (["compare", "absent"], "no plan.json in absent"),
    "a job script over two lines": (["script", "sweep.yaml", "--file", "new/job.sh", "--option", "time=1\nrm x"],
                                    "one line"),
}  # fmt: skip


@pytest.mark.parametrize("case", LINES)
def test_a_wrong_line_is_refused_before_anything_runs(case, home):
    words, expected = LINES[case]
    written(small())
    before = states(home, home / "none")
    said = refused(*words)
    assert "".join(expected.split()) in "".join(said.split())
    assert states(home, home / "none") == before
    assert [path.name for path in home.iterdir()] == ["sweep.yaml"], "a folder is left behind"


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Path:
    """A sweep that is done: one cell."""
    out = tmp_path_factory.mktemp("swept") / "out"
    run_sweep(small(), out, progress=False)
    return out


@pytest.fixture
def out(swept, home) -> Path:
    """A copy of it in the folder of the test."""
    written(small())
    return Path(shutil.copytree(swept, "out"))


def a_cell(out: Path, name: str) -> Path:
    return next(out.glob(f"cells/*/*/{name}"))


def cut(path: Path) -> None:
    """Half of the lines: what is left is a whole table of fewer rows."""
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[: len(lines) // 2]))


# name of the case -> (what is done to the folder, the line, what is said)
DAMAGES = {
    "another sweep": (lambda out: written(OTHER), ["run", "sweep.yaml"], "another sweep"),
    "another command": (lambda out: (out / "run.json").write_text('{"kind": "encode"}'), ["run", "sweep.yaml"],
                        "holds the results of `brainnet encode`"),
    "no plan to run": (lambda out: (out / "plan.json").write_text("{"), ["run", "sweep.yaml"], "plan.json"),
    "no plan to see": (lambda out: (out / "plan.json").write_text("[]"), ["status"], "plan.json"),
    "no plan to compare": (lambda out: (out / "plan.json").write_text("{}"), ["compare"], "plan.json"),
    "no table of a cell to gather": (lambda out: a_cell(out, "cell.csv").unlink(), ["run", "sweep.yaml"],
                                     "does that cell again"),
    "no table of a cell": (lambda out: a_cell(out, "cell.csv").unlink(), ["compare"], "does that cell again"),
    "half a table of a cell": (lambda out: cut(a_cell(out, "cell.csv")), ["compare"], "does that cell again"),
    "no samples": (lambda out: a_cell(out, "samples.npz").write_bytes(b"PK"), ["compare"], "samples.npz"),
    "nothing is done": (lambda out: shutil.rmtree(out / "cells"), ["compare"], "no cell of the sweep"),
    "unknown readers": (lambda out: None, ["compare", "--generalise", "subject"], "Did you mean 'subjects'?"),
    "an unknown similarity": (lambda out: None, ["compare", "--similarity", "cca"], "Did you mean 'cka'?"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGES)
def test_a_damaged_folder_is_refused_and_left_as_it_is(case, out):
    damage, (command, *more), expected = DAMAGES[case]
    damage(out)
    before = states(Path(), Path("none"))
    said = refused(command, *(["sweep.yaml", "--out", "out", *more[1:]] if command == "run" else ["out", *more]))
    assert "".join(expected.split()) in "".join(said.split())
    assert states(Path(), Path("none")) == before


@pytest.mark.parametrize("damage", [
    lambda folder: (folder / "cell.json").write_text('{"state": "do'),
    lambda folder: (folder / "cell.json").write_text("[]"),
    lambda folder: (folder / "begun.json").write_text("x"),
    shutil.rmtree,
])  # fmt: skip
def test_a_cell_whose_folder_is_damaged_is_done_again(damage, out):
    table = (out / "sweep.csv").read_bytes()
    damage(a_cell(out, "cell.json").parent)
    (out / "sweep.csv").unlink()
    code, said = call(["sweep", "run", "sweep.yaml", "--out", "out", "--quiet"])
    assert code == 0, said
    assert (out / "sweep.csv").read_bytes() == table
