"""Studies give the numbers that are expected of them, and the runner says so when they do not."""

from __future__ import annotations

import json
import pickle
import shutil
from itertools import pairwise

import numpy as np
import pytest
import scipy.io
import torch
import yaml
from scipy.spatial.distance import squareform

from brainnet.backbone import build_backbone
from brainnet.backbone.families import taskonomy
from brainnet.rsa import rdm
from brainnet.tokens import Preprocessing
from studies import form
from studies.__main__ import main
from studies.brain_decodes.study import Reading, p_of_highest
from studies.net2brain.study import with_labels

NAMES = form.studies()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_small_form_gives_the_expected_numbers(name, tmp_path, capsys):
    _gives_the_expected_numbers(name, "small", tmp_path, capsys)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NAMES)
def test_default_form_gives_the_expected_numbers(name, tmp_path, capsys):
    _gives_the_expected_numbers(name, "default", tmp_path, capsys)


def _gives_the_expected_numbers(name, kind, tmp_path, capsys):
    try:
        form.needed_settings(name, kind, form.data_folder(None))
    except form.MissingData as error:
        pytest.skip(str(error))
    code = main([name, *([] if kind == "default" else [f"--{kind}"]), "--out", str(tmp_path)])
    assert code == 0, capsys.readouterr()
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
    (tmp_path / "data" / "planted" / "responses.npy").touch()
    monkeypatch.setattr(form, "FOLDER", tmp_path / "studies")
    monkeypatch.setattr(form, "import_module", lambda _: Toy)
    return folder


class Toy:
    @staticmethod
    def run(settings, data):
        from matplotlib.figure import Figure

        with form.reading():
            if (data / "planted" / "odd.npy").exists():
                raise ValueError("odd.npy has 3 rows;\n expected 4")
        if settings["add"] > 9:
            raise ValueError("a fault of the study")
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
    (tmp_path / "data" / "planted" / "responses.npy").unlink()  # an empty folder is as good as none
    assert main(["toy", "--data", str(tmp_path / "data")]) == 2


def test_wrong_data_are_one_line_and_a_fault_of_the_study_is_not(toy, tmp_path, capsys):
    line = ["toy", "--data", str(tmp_path / "data")]
    (tmp_path / "data" / "planted" / "odd.npy").touch()
    assert main(line) == 2
    assert capsys.readouterr().err == "odd.npy has 3 rows; expected 4\n"
    (tmp_path / "data" / "planted" / "odd.npy").unlink()
    (toy / "config.yaml").write_text(yaml.safe_dump(form.read("toy").config | {"default": {"add": 10}}))
    with pytest.raises(ValueError, match="a fault of the study"):
        main(line)


def test_a_part_of_the_published_data_is_enough(toy, tmp_path, capsys):
    (toy / "config.yaml").write_text(yaml.safe_dump(form.read("toy").config | {"full": {"add": 3}}))
    absent = {"value": 1.0, "tolerance": 0.1, "source": "theory: one"}
    expected = {"full": {"sum": {**absent, "value": 4.0}, "of data that are not there": absent}}
    (toy / "expected.json").write_text(json.dumps(expected))
    line = ["toy", "--full", "--data", str(tmp_path / "data")]
    assert main(line) == 0
    assert "1 of 2 numbers are as expected, 1 not computed" in capsys.readouterr().out
    (toy / "expected.json").write_text(json.dumps({"default": expected["full"]}))
    assert main(line[:1] + line[2:]) == 1  # the default form computes all
    expected["full"]["sum"]["value"] = 5.0
    (toy / "expected.json").write_text(json.dumps(expected))
    assert main(line) == 1


@pytest.mark.parametrize("name", NAMES)
def test_full_form_without_data_is_one_line(name, tmp_path, capsys):
    assert main([name, "--full", "--data", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "see brainnet datasets" in said


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


# ---------------------------------------------------------------------- net2brain


def test_decoded_rdms_with_other_labels_are_those_that_decoding_gives(rng):
    n_conditions, n_trials = 7, 6
    trials = torch.randn(2, n_conditions * n_trials, 5, generator=rng)
    trials += torch.randn(n_conditions, 5, generator=rng).repeat_interleave(n_trials, 0)
    names = torch.randperm(n_conditions, generator=rng)
    given, decoded = (
        rdm(trials, "decoding", labels=one.repeat_interleave(n_trials).tolist(), covariance="pooled")
        for one in (names, torch.arange(n_conditions))
    )
    torch.testing.assert_close(with_labels(decoded, names).values, given.values, rtol=0, atol=1e-7)
    assert not torch.equal(given.values, decoded.values)


# ---------------------------------------------------------------------- the control of brain_decodes


def _shuffled_fits(seed, n_networks=7, n_images=20, n_voxels=15):
    """Predictions of networks that are much alike, and responses that they know nothing of."""
    generator = torch.Generator().manual_seed(seed)
    responses, shared = torch.randn(2, n_images, n_voxels, generator=generator)
    own = torch.randn(n_networks, n_images, n_voxels, generator=generator)
    return [Reading(shared + 0.5 * one, responses, None) for one in own]


def test_the_control_of_all_networks_rejects_one_study_of_twenty_without_signal():
    p = torch.tensor([p_of_highest(_shuffled_fits(seed), {"seed": 0, "n_resamples": 99}) for seed in range(300)])
    assert 0.012 < (p <= 0.05).float().mean() < 0.088  # .05 and three standard errors of 300 studies
    assert abs(p.mean() - 0.5) < 0.05


def test_the_control_of_all_networks_sees_one_network_that_knows_the_test_responses():
    fits = _shuffled_fits(0)
    leaking = fits[3]._replace(predicted=fits[3].predicted + 0.5 * fits[3].responses)
    assert p_of_highest([*fits[:3], leaking, *fits[4:]], {"seed": 0, "n_resamples": 199}) == 1 / 200


def test_the_probe_of_expansion_does_not_hang_on_the_last_digit():
    """On another machine features differ in their seventh digit; a solver that stops early then turned two pictures."""
    from studies.expansion.study import probe

    generator, groups = torch.Generator().manual_seed(10), [12, 12, 12, 12, 23, 21]
    labels = torch.arange(6).repeat_interleave(torch.tensor(groups))
    sd = torch.logspace(1, -1, 50) * 3
    features = torch.randn(92, 50, generator=generator) * sd + torch.randn(6, 50, generator=generator)[labels] * sd / 2
    elsewhere = [features * (1 + 1e-6 * torch.randn(features.shape, generator=generator)) for _ in range(2)]
    assert len({probe(one, groups, 42) for one in [features, *elsewhere]}) == 1


# ---------------------------------------------------------------------- the full forms

# what makes the full form small; data, readers, regions and all that is done with them stay
_LAYERS = {"backbone": "torchvision:squeezenet1_1", "layers": ["features.2", "features.5"], "grid": [3, 3]}
SMALLER = {
    "expansion": {
        "side": 64, "side_of_others": 64, "widths": [8, 12, 16], "narrow": 6, "n_resamples": 10,
        "sizes": [30], "components": [1, 10], "widths_of_vit": [12],
        "initialisations": ["kaiming_uniform", "orthogonal"], "nonlinearities": ["abs"],
        "probe": {"folder": "algonauts2019/images_92", "components": 4, "groups": [5, 5]},
        "others": {"AlexNet untrained": _LAYERS, "AlexNet trained": {**_LAYERS, "weights": "random"}},
    },
    "dnn_to_brain": {
        "n_pictures": 12, "n_subjects": 4, "grid": [16, 4, 4], "n_permutations": 20, "n_simulations": 20, "side": 32,
        "weights": "random",
    },
    "brain_decodes": {
        "weights": "random", "max_epochs": 1, "n_resamples": 20, "size_of_images": 32,
        "networks": {"ImgNet": ["ModifiedImgNet", {"size": "tiny", "image_size": 64}],
                     "DINOv2": ["ModifiedDiNOv2", {"size": "small", "image_size": 56}]},
        "sizes": {"S": {"embed_dim": 48, "depth": 12, "num_heads": 6}},
    },
}  # fmt: skip


def _write_pictures(folder):
    from tests.dataset.readers.things_eeg_folder import write_pictures

    write_pictures(folder / "algonauts2019" / "images_92", [f"{n}.png" for n in range(10)])


def _write_majajhong(folder):
    pytest.importorskip("netCDF4")
    from tests.dataset.readers.brainscore_folder import write_brainscore

    planted = write_brainscore(folder / "majajhong", n_stimuli=40, n_neuroids=24)
    for name, ids in (("majaj_train_ids", planted.ids[10:]), ("majaj_test_ids", planted.ids[:10])):
        (folder / "majajhong" / name).write_bytes(pickle.dumps(np.array(ids, dtype=object)))


def _write_nsd(folder):
    import nibabel

    from tests.dataset.readers.nsd_folder import GRID, write_patterns, write_volume

    write_patterns(write_volume(folder / "nsd", n_sessions=1, n_places=75, version="betas_fithrf_GLMdenoise_RR"))
    streams = np.zeros(GRID, np.float32)
    streams[1:5, 1:4, 1:3] = np.array([1, 2, 5, 6])[:, None, None]  # early, midventral, ventral, lateral
    path = folder / "nsd/nsddata/ppdata/subj01/func1pt8mm/roi/streams.nii.gz"
    nibabel.save(nibabel.Nifti1Image(streams, np.diag([1.8, 1.8, 1.8, 1.0])), path)


def _write_things(folder):
    from tests.dataset.readers.things_folder import write_things

    write_things(folder / "things_fmri", n_train=8, n_test=8)


def _write_algonauts(folder):
    from tests.dataset.readers.algonauts_folder import write_algonauts_folder

    write_algonauts_folder(folder / "algonauts2023" / "subj01", n_images=30, size=40)


def _write_dnn2brain(folder):
    """The published RDMs: what a region has comes from the network that is its best one, and no other shares it."""
    from studies.dnn_to_brain.tasks import BEST, LAYERS, NAMES

    rng, n = np.random.default_rng(0), 12

    def square(values):
        return np.stack([squareform(one) for one in np.atleast_2d(values)])

    vectors = {(name, layer): rng.random(n * (n - 1) // 2) for name in NAMES for layer in LAYERS}
    folder = folder / "dnn2brain"
    (folder / "dnns").mkdir(parents=True)
    for (name, layer), values in vectors.items():
        scipy.io.savemat(folder / "dnns" / f"{NAMES[name]}_{layer}.mat", {"rdm": square(values)})
    for roi in ("V1v", "PHC1"):
        (folder / "fmri_pearson" / roi).mkdir(parents=True)
        values = (
            vectors[BEST[roi], "block4"] + 2 * vectors[BEST[roi], "encoder_output"] + rng.random((4, n * (n - 1) // 2))
        )
        scipy.io.savemat(folder / "fmri_pearson" / roi / "people.mat", {"subject_rdm": square(values)})
    return vectors, folder


@pytest.fixture
def small_full(tmp_path, monkeypatch):
    """Makes the full forms small, with the first person of each data set, and runs one: exit code and numbers."""
    settings_of, data = form.settings_of, tmp_path / "data"
    _write_pictures(data)

    def smaller(config, kind):
        name = next(one for one in NAMES if form.read(one).config == config)
        found = settings_of(config, kind) | SMALLER[name]
        for entry in found.get("brains", ()):
            entry["people"] = entry["people"][:1]
        return found

    def run(name, *writers, without=None):
        for write in writers:
            write(data)
        if without:
            (data / without).unlink()
        code = main([name, "--full", "--data", str(data), "--out", str(tmp_path / "out")])
        return code, (json.loads((tmp_path / "out" / "numbers.json").read_text()) if code < 2 else None)

    monkeypatch.setattr(form, "settings_of", smaller)
    return run


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("writer", "brains"),
    [
        (_write_majajhong, ("IT", "V4")),
        pytest.param(_write_nsd, ("NSD early", "NSD midventral", "NSD ventral"), marks=pytest.mark.slow),
        pytest.param(_write_things, ("THINGS V1", "THINGS V2", "THINGS FFA"), marks=pytest.mark.slow),
    ],
)
def test_full_form_of_expansion_runs_on_the_published_layouts(writer, brains, small_full, caplog):
    code, found = small_full("expansion", writer)
    assert code == (0 if writer is _write_things else 1)  # what is planted is not what was published
    computed = {name for name, value in found.items() if value is not None}
    for brain in brains:
        for what in ("pattern r, untrained ViT, 12 channels", "R2 split, AlexNet trained: shared", "noise ceiling"):
            assert f"{brain}: {what}" in computed
    nobody_has_it = "has no usable column of region hV4: left out of THINGS V4" in caplog.text
    assert nobody_has_it == (writer is _write_things)
    # every published number of these regions, and of what is left of the networks, is compared
    left = (", 30 filters", ", 1 components", ", 10 components", ", 12 channels", "noise ceiling", "orthogonal", "abs",
            "AlexNet untrained", "AlexNet trained")  # fmt: skip
    expected = form.read("expansion").expected["full"]
    compared = {name for name in expected if name.startswith(brains) and name.endswith(left)}
    assert len(compared) > 10 or writer is _write_things  # of which nothing is published in numbers
    assert compared <= computed


@pytest.mark.filterwarnings("ignore")
def test_full_form_of_brain_decodes_shows_each_network_its_own_size(small_full):
    code, found = small_full("brain_decodes", _write_algonauts)
    assert code == 0
    assert {"ImgNet: mean r", "DINOv2: mean r", "size S: mean r"} <= set(found)


@pytest.mark.filterwarnings("ignore")
def test_full_form_of_dnn_to_brain_finds_the_best_networks_in_the_published_files(small_full, tmp_path):
    vectors, _ = _write_dnn2brain(tmp_path / "planted")
    shutil.rmtree(tmp_path / "data")  # which also holds pictures without RDMs
    code, found = small_full("dnn_to_brain", _write_dnn2brain)
    assert code == 1  # their totals are not the published ones
    for roi in ("V1v", "PHC1"):
        assert next(value for name, value in found.items() if name.startswith(f"{roi}: ")) == 1
    assert not any(name.startswith("hV4") and value is not None for name, value in found.items())

    # the published total of three groups, by least squares
    people = scipy.io.loadmat(tmp_path / "data/dnn2brain/fmri_pearson/V1v/people.mat")["subject_rdm"]
    y = people.mean(0)[np.triu_indices(12, 1)]
    groups = [
        np.mean([values for (name, one), values in vectors.items() if (name.split()[0], one) == (group, layer)], axis=0)
        for group in ("2D", "3D", "semantic") for layer in ("block4", "encoder_output")
    ]  # fmt: skip
    x = np.stack([np.ones(len(y)), *groups], 1)
    left = y - x @ np.linalg.lstsq(x, y, rcond=None)[0]
    r2 = 1 - left @ left / ((y - y.mean()) @ (y - y.mean()))
    assert found["V1v, published: total R2"] == pytest.approx(1 - (1 - r2) * (len(y) - 1) / (len(y) - 7), abs=1e-6)


@pytest.mark.filterwarnings("ignore")
def test_full_form_of_dnn_to_brain_shows_real_pictures_to_the_networks_of_tasks(test_data, monkeypatch):
    from studies.dnn_to_brain import study, tasks

    assert {variant for _, variant in tasks.TASKS.values()} <= set(taskonomy.variants())
    name, network = next(tasks.task_networks("random", seed=0))
    assert (name, network.layers) == ("2D autoencoder", ("layer4", "encoding"))
    quick = {"layers": ["features.2", "features.5"], "weights": "random", "preprocessing": Preprocessing((48, 48))}
    names = ["2D edge2d", "3D reshade", "semantic class_1000", tasks.UNTRAINED]
    few = [(name, build_backbone("torchvision:squeezenet1_1", seed=k, **quick)) for k, name in enumerate(names)]
    monkeypatch.setattr(study, "task_networks", lambda weights, seed: few)
    found = study.real_regions({"real": ["algonauts2019"], "weights": "", "seed": 0, "n_permutations": 5}, test_data)
    assert set(found["algonauts2019"]) == {"EVC", "IT"}
    for one in found["algonauts2019"].values():
        assert one["published"].sets == ("2D", "3D", "semantic")
        assert len(one["top"]) == len(one["held out"]) == 3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "writer", "without"),
    [
        ("expansion", _write_majajhong, "majajhong/assy_dicarlo_MajajHong2015_public.nc"),
        ("expansion", _write_nsd, "nsd/nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5"),
        ("expansion", _write_things, "things_fmri/betas_csv/sub-01_ResponseData.h5"),
        ("dnn_to_brain", _write_dnn2brain, "dnn2brain/dnns/edge2d_block4.mat"),
        ("brain_decodes", _write_algonauts, "algonauts2023/subj01/training_split/training_fmri/lh_training_fmri.npy"),
    ],
)
def test_a_folder_without_one_of_its_files_is_one_line(name, writer, without, small_full, capsys):
    assert small_full(name, writer, without=without)[0] == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    wanted = (without.rpartition("/")[2][:10], "MajajHong2015*public*.nc", "'edge2d' and the layer 'block4'")
    assert any(word in said for word in wanted)


@pytest.mark.parametrize("kind", ["small", "default", "full"])
def test_no_two_names_below_a_panel_of_expansion_touch(kind):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from studies.expansion.figure import draw

    settings = form.settings_of(form.read("expansion").config, kind)
    one = {"r": 0.3, "low": 0.2, "high": 0.4, "pattern r": 0.3}
    networks, parts = ["Expansion", *settings["others"]], {"Expansion alone": 0.1, "the other": 0.1, "shared": 0.2}
    kinds = {f"kind {k}": dict.fromkeys(settings["sizes"], one) for k in range(6)}
    found = {
        "ceiling": 0.9,
        "sweep": {"expansion": kinds.pop("kind 0"), **kinds, "ViT": dict.fromkeys(settings["widths_of_vit"], one)},
        "choices": {f"initialisation: {word}": one for word in settings["initialisations"]}
        | {f"nonlinearity: {word}": one for word in settings["nonlinearities"]},
        "others": dict.fromkeys(settings["others"], one),
        "components": dict.fromkeys(settings["components"], one),
        "spectra": {name: torch.arange(1.0, 50) ** -1.3 for name in networks},
        "split": {(other, how): parts for other in settings["split"] for how in ("published", "R2")},
        "probe": dict.fromkeys(networks, 0.5),
    }
    figure = draw("V4", found, settings)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    for ax in figure.axes:
        names = [label for label in ax.get_xticklabels(which="both") if label.get_text() and label.get_visible()]
        boxes = sorted((name.get_window_extent(canvas.get_renderer()) for name in names), key=lambda box: box.x0)
        inside = [box for box in boxes if ax.bbox.x0 - 1 <= (box.x0 + box.x1) / 2 <= ax.bbox.x1 + 1]
        assert all(left.x1 < right.x0 for left, right in pairwise(inside)), ax.get_title(loc="left")
