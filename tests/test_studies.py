"""Studies give the numbers that are expected of them, and the runner says so when they do not."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
import yaml

from studies import form
from studies.__main__ import main
from studies.brain_decodes.study import Reading, p_of_highest

NAMES = form.studies()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_small_form_gives_the_expected_numbers(name, tmp_path, capsys):
    _gives_the_expected_numbers(name, ["--small"], tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_default_form_gives_the_expected_numbers(name, tmp_path, capsys):
    _gives_the_expected_numbers(name, [], tmp_path, capsys)


def _gives_the_expected_numbers(name, words, tmp_path, capsys):
    code = main([name, *words, "--out", str(tmp_path)])
    said = capsys.readouterr()
    if code == 2:
        pytest.skip(said.err.strip())
    assert code == 0, said.out
    assert (tmp_path / "figure.png").stat().st_size > 20_000
    assert json.loads((tmp_path / "numbers.json").read_text())


@pytest.mark.parametrize("name", NAMES)
def test_readme_shows_the_expected_numbers(name):
    text = (form.FOLDER / name / "README.md").read_text(encoding="utf-8")
    assert form.TABLE.search(text).group() == form.readme_table(form.read(name).expected["default"])
    assert form.read(name).question in text


@pytest.mark.parametrize("name", NAMES)
def test_every_expected_number_says_where_it_comes_from(name):
    for numbers in form.read(name).expected.values():
        for one in numbers.values():
            assert one["source"].startswith(("published: ", "theory: ", form.PINNED))


# ---------------------------------------------------------------------- the runner


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A study of one number, 2.0, and what its settings add; returns its folder."""
    folder = tmp_path / "studies" / "toy"
    folder.mkdir(parents=True)
    config = {
        "question": "Is it two?",
        "tolerance": 0.1,
        "default": {"add": 1, "needs": ["planted"]},
        "small": {"add": 2},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "study.py").write_text("")
    (folder / "README.md").write_text("Is it two?\n<!-- numbers -->\n<!-- end of numbers -->\n")
    (tmp_path / "data" / "planted").mkdir(parents=True)
    (tmp_path / "data" / "planted" / "responses.npy").touch()  # an empty folder is as good as none
    monkeypatch.setattr(form, "FOLDER", tmp_path / "studies")
    monkeypatch.setattr(form, "import_module", lambda _: Toy)
    return folder


class Toy:
    @staticmethod
    def run(settings, data):
        from matplotlib.figure import Figure

        assert (data / "planted").is_dir()
        return {"sum": 1 + settings["add"]}, Figure()


def test_a_number_outside_its_tolerance_fails(toy, tmp_path, capsys):
    line = ["toy", "--data", str(tmp_path / "data")]
    for value, code in [(2.05, 0), (2.5, 1), (1.5, 1)]:
        expected = {"default": {"sum": {"value": value, "tolerance": 0.1, "source": "theory: 1 + 1"}}}
        (toy / "expected.json").write_text(json.dumps(expected))
        assert main(line) == code
    assert main([*line, "--small"]) == 1  # nothing is expected of the small form yet


def test_missing_data_are_one_line(toy, tmp_path, capsys):
    assert main(["toy", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "planted" in said
    assert "--data" in said


def test_pin_keeps_what_was_published(toy, tmp_path):
    line = ["toy", "--data", str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--pin"]
    assert main(line) == 0
    assert form.read("toy").expected["default"]["sum"]["value"] == 2.0
    assert "| sum | 2 ± 0.1 |" in (toy / "README.md").read_text()
    assert json.loads((tmp_path / "out" / "numbers.json").read_text()) == {"sum": 2.0}
    published = {"default": {"sum": {"value": 3.0, "tolerance": 0.1, "source": "published: a paper"}}}
    (toy / "expected.json").write_text(json.dumps(published))
    assert main(line) == 1
    assert form.read("toy").expected == published


@pytest.mark.parametrize(
    ("numbers", "expectation", "verdict"),
    [
        ({"r": 0.5}, {"low": 0.4}, "as expected"),
        ({"r": 0.3}, {"low": 0.4}, "too low"),
        ({"r": 0.5}, {"high": 0.4}, "too high"),
        ({"r": float("nan")}, {"low": 0.4}, "not a number"),
        ({}, {"low": 0.4}, "not computed"),
    ],
)
def test_verdicts(numbers, expectation, verdict):
    assert form.compare(numbers, {"r": expectation}).verdict.tolist() == [verdict]
    assert form.compare(numbers, {}).verdict.tolist() == ["not pinned"] * len(numbers)


# ---------------------------------------------------------------------- brain_decodes


def _shuffled_fits(seed, n_networks=7, n_images=20, n_voxels=15):
    """Predictions of networks that are much alike, and responses that they know nothing of."""
    generator = torch.Generator().manual_seed(seed)
    responses, shared = torch.randn(2, n_images, n_voxels, generator=generator)
    own = torch.randn(n_networks, n_images, n_voxels, generator=generator)
    return [Reading(shared + 0.5 * one, responses, None) for one in own]


def test_the_control_of_all_networks_rejects_one_of_twenty_without_signal():
    settings = {"seed": 0, "n_resamples": 99}
    p = np.array([p_of_highest(_shuffled_fits(seed), settings) for seed in range(300)])
    assert 0.02 < (p <= 0.05).mean() < 0.09  # .05 +- 3 standard errors
    assert abs(p.mean() - 0.5) < 0.06


def test_the_control_of_all_networks_sees_a_leak():
    fits = _shuffled_fits(0)
    leaking = fits[3]._replace(predicted=fits[3].predicted + 0.5 * fits[3].responses)
    assert p_of_highest([*fits[:3], leaking, *fits[4:]], {"seed": 0, "n_resamples": 199}) == 1 / 200


# ---------------------------------------------------------------------- the full forms

# what makes the full form small; data, readers, regions and all that is done with them stay
SMALLER = {
    "expansion": {
        "side": 64, "side_of_others": 64, "widths": [32, 64, 128], "narrow": 24, "sizes": [2, 30], "components": [1, 3],
        "sizes_of_vit": {2: 12}, "n_resamples": 10,
        "others": {"AlexNet untrained": {"backbone": "torchvision:alexnet", "layers": ["features.2"], "grid": [3, 3]},
                   "AlexNet trained": {"backbone": "torchvision:alexnet", "layers": ["features.2"], "grid": [3, 3],
                                       "weights": "random"}},
    },
    "brain_decodes": {
        "weights": "random", "max_epochs": 1, "n_resamples": 10,
        "networks": {"ImgNet": ["ModifiedImgNet", {"size": "tiny", "image_size": 64}],
                     "DINO": ["ModifiedDINO", {"size": "small", "image_size": 64}]},
        "sizes": {"S": ["ModifiedDiNOv2", {"size": "small", "image_size": 56}]},
    },
    "dnn_to_brain": {"n_pictures": 24, "n_subjects": 6, "grid": [16, 4, 4], "n_permutations": 20, "n_simulations": 20},
    "net2brain": {"n_permutations": 20, "networks": form.read("net2brain").config["default"]["networks"]},
}  # fmt: skip


def _write_published(data, real):
    """Folders in the published layouts, with little in them; the real ones where they are at hand."""
    from tests.dataset.readers.algonauts_folder import write_algonauts_folder
    from tests.dataset.readers.brainscore_folder import write_brainscore
    from tests.dataset.readers.nsd_folder import write_volume
    from tests.dataset.readers.things_folder import write_things

    write_algonauts_folder(data / "algonauts2023" / "subj01", size=16)
    planted = write_brainscore(data / "majajhong")
    for name, ids in (("majaj_train_ids", planted.ids[4:]), ("majaj_test_ids", planted.ids[:4])):
        (data / "majajhong" / name).write_bytes(pickle.dumps(np.array(ids, dtype=object)))
    write_volume(data / "nsd", n_sessions=1, n_places=80)
    write_things(data / "things_fmri")
    for folder in ("algonauts2019", "weights"):
        if not (real / folder).is_dir():
            pytest.skip(f"needs {real / folder}")
        (data / folder).symlink_to(real / folder)


@pytest.fixture
def small_full(tmp_path, monkeypatch):
    """Makes the full form of a study small, and returns a folder of data in the published layouts."""
    pytest.importorskip("netCDF4")
    data, settings_of = tmp_path / "data", form.settings_of
    _write_published(data, form.data_folder(None))

    def smaller(config, kind):
        found = settings_of(config, kind) | SMALLER[next(n for n in NAMES if form.read(n).config == config)]
        if "brains" in found:
            found["brains"] = [_small_brain(one) for one in found["brains"]]
        return found

    monkeypatch.setattr(form, "settings_of", smaller)
    return data


def _small_brain(entry):
    """The same recording, as the toy writers lay it out: one subject, and regions that it has."""
    if entry["reader"] == "nsd":
        options = {"space": "func1pt8mm", "version": "betas_fithrf"}
        return entry | {"options": options, "subjects": [1], "rois": {"NSD early": ["V1"]}}
    if entry["reader"] == "things_fmri":
        return entry | {"subjects": [1], "rois": {"THINGS V1": ["V1"], "THINGS FFA": ["FFA"]}}
    return entry


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_full_form_runs_on_published_layouts(name, small_full, tmp_path, capsys):
    code = main([name, "--full", "--data", str(small_full), "--out", str(tmp_path / "out")])
    assert code in (0, 1), capsys.readouterr().err  # numbers of toys are not the published ones
    found = json.loads((tmp_path / "out" / "numbers.json").read_text())
    assert sum(value is not None and value == value for value in found.values()) > 8
    if name == "expansion":
        for brain in ("IT", "V4", "NSD early", "THINGS V1", "THINGS FFA"):
            assert f"{brain}: pattern r, ViT, 2 filters" in found


@pytest.mark.parametrize("name", NAMES)
def test_full_form_without_data_is_one_line(name, tmp_path, capsys):
    (tmp_path / "algonauts2019").mkdir()
    assert main([name, "--full", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert "see brainnet datasets" in said or "studies/README.md" in said


def test_a_part_of_the_published_data_is_enough(toy, tmp_path, capsys):
    config = form.read("toy").config
    (toy / "config.yaml").write_text(yaml.safe_dump(config | {"full": {"add": 3}}))
    absent = {"value": 1.0, "tolerance": 0.1, "source": "theory: one"}
    expected = {"full": {"sum": {**absent, "value": 4.0}, "of data that are not there": absent}}
    (toy / "expected.json").write_text(json.dumps(expected))
    line = ["toy", "--full", "--data", str(tmp_path / "data")]
    assert main(line) == 0
    assert "1 of 2 numbers are as expected" in capsys.readouterr().out
    expected["full"]["sum"]["value"] = 5.0
    (toy / "expected.json").write_text(json.dumps(expected))
    assert main(line) == 1
