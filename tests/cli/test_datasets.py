"""`brainnet datasets`: the list, one data set, and the check of a folder; words, JSON and exit codes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from brainnet.cli import app as cli
from brainnet.cli.datasets import listed_datasets, read_options
from brainnet.dataset import DATASETS
from tests.dataset.readers.nsd_folder import write_volume


def run(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(cli.app, ["datasets", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.stdout


def test_every_data_set_is_listed_with_its_kind_and_size():
    printed = run()
    assert all(name in printed for name in DATASETS.names())
    assert "`" not in printed  # the markup of docstrings is none of the terminal's
    line = next(line for line in printed.splitlines() if line.startswith("nsd"))
    assert all(word in line for word in ("Natural Scenes Dataset", "fMRI", "39.6 GB", "by hand"))
    assert [one["name"] for one in json.loads(run("--json"))] == DATASETS.names()


@pytest.mark.parametrize("name", [name for name in DATASETS.names() if DATASETS[name].about])
def test_the_list_read_from_source_says_what_the_reader_says(name):
    about, said = DATASETS[name].about, listed_datasets()[name]
    assert (said["title"], said["kind"], said["size"]) == (about.title, about.kind, about.size)
    assert said["download"] == ("get" if about.downloads else "by hand")


def test_a_reader_that_only_python_can_read_is_listed_as_well(monkeypatch):
    monkeypatch.setattr("brainnet.cli.datasets.said_of", lambda place, call: {"title": None, "kind": "fMRI"})
    assert "Natural Scenes Dataset" in run()


def test_a_data_set_of_another_package_is_listed_and_its_mistake_hides_no_other(monkeypatch):
    class Point:
        def __init__(self, name, entry):
            self.name, self.load = name, entry

    def broken():
        raise RuntimeError("not installed whole")

    points = [Point("theirs", lambda: DATASETS["nsd"]), Point("broken", broken)]
    for place in ("brainnet.cli.datasets.entry_points", "brainnet.cli.listing.entry_points"):
        monkeypatch.setattr(place, lambda group: points)
    with DATASETS.temporarily("theirs", DATASETS["nsd"]):
        printed = run()
    lines = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    assert "Natural Scenes Dataset" in lines["theirs"]
    assert "RuntimeError" in lines["broken"]
    assert "39.6 GB" in lines["nsd"]


@pytest.mark.parametrize("words", [("nsd",), ("show", "nsd")])
def test_a_name_shows_all_that_is_known_of_it(words):
    printed = " ".join(run(*words).split())
    about = DATASETS["nsd"].about
    for text in (about.title, about.what, about.where, about.terms, about.size, about.layout, about.cite,
                 about.verified, *about.steps, "betas_fithrf_GLMdenoise_RR", "1 to 8.",
                 "brainnet fit --config nsd DATASET.DATA_DIR FOLDER", "datasets check nsd FOLDER"):  # fmt: skip
        assert " ".join(text.split()) in printed


@pytest.mark.parametrize("words", [("nsd", "--json"), ("--json", "nsd"), ("show", "--json", "nsd")])
def test_json_is_all_that_is_known(words):
    known = json.loads(run(*words))
    assert known["title"] == DATASETS["nsd"].about.title
    assert known["options"][0] == {"name": "subject", "default": 1, "meaning": "1 to 8."}


@pytest.mark.parametrize("name", DATASETS.names())
def test_every_data_set_is_shown(name):
    assert "options" in run(name)


def test_an_unknown_name_is_the_users_mistake():
    result = CliRunner().invoke(cli.app, ["datasets", "nsdd"])
    assert isinstance(result.exception, ValueError)
    assert "'nsd'" in str(result.exception)


def test_a_folder_is_checked(tmp_path):
    folder = write_volume(tmp_path / "nsd", n_sessions=1, n_places=80).root
    given = ["--option", "space=func1pt8mm", "--option", "version=betas_fithrf"]
    printed = run("check", "nsd", folder, *given)
    for word in ("1 file", "24", "nsd_stimuli.hdf5", "425 x 425", "train ", "definition", "median 0.",
                 "Please report", f'DATA_DIR {folder} DATASET.OPTIONS "{{space: func1pt8mm, version'):  # fmt: skip
        assert word in printed
    assert "missing" not in printed
    (folder / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5").unlink()
    pairs = ["space", "func1pt8mm", "DATASET.OPTIONS", "{version: betas_fithrf}"]
    printed = run("check", "nsd", folder, *pairs, code=1)
    assert "missing  nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5" in printed
    assert "wrong: no " in printed
    assert "39.6 GB" in printed


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], {}), (["subject=2", "split=random"], {"subject": 2, "split": "random"}),
        (["rois=[V1, V2]", "x="], {"rois": ["V1", "V2"], "x": None}), (["a=b=c"], {"a": "b=c"}),
    ],
)  # fmt: skip
def test_options_are_yaml(words, options):
    assert read_options(words) == options


@pytest.mark.parametrize("word", ["subject", "x=[", "=2"])
def test_options_that_are_none_are_refused(word):
    if word == "=2":
        assert read_options([word]) == {"": 2}  # and the reader takes no such option
        return
    with pytest.raises(ValueError, match=word.partition("=")[0]):
        read_options([word])


def test_data_that_are_made_need_no_folder_and_say_so_themselves(tmp_path):
    for name in ("simulated", "simulated_series"):
        assert "datasets check" not in run(name)
        assert json.loads(run(name, "--json"))["needs_folder"] is False
        result = CliRunner().invoke(cli.app, ["datasets", "check", name, str(tmp_path)])
        assert isinstance(result.exception, ValueError)
        assert name in str(result.exception)
    assert json.loads(run("array", "--json"))["needs_folder"] is True
    own = tmp_path / "mine.py"
    own.write_text(
        "from brainnet.dataset import ResponseDataset\n\nclass simulated_or_not(ResponseDataset):\n    'Mine.'\n"
    )
    assert "datasets check" in run(f"{own}:simulated_or_not")
