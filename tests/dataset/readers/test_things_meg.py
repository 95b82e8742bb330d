"""THINGS-MEG on a folder in its published layout: epochs, their table, splits, wrong files; a planted course."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from brainnet.config import load_config
from brainnet.dataset import DATASETS
from brainnet.dataset.readers.things_meg import ThingsMEG
from brainnet.encode import encode
from brainnet.plmodel import build_dataset
from brainnet.scores import ceiling_from_ncsnr, ncsnr
from brainnet.store import TokenStore
from tests.dataset.readers.test_things_eeg import TwoLayers
from tests.dataset.readers.things_eeg_folder import names_of, write_pictures

mne = pytest.importorskip("mne")
pytestmark = pytest.mark.filterwarnings("ignore")

SENSORS = ("MLO11-1609", "MRO12-1609", "MLT13-1609", "MZC01-1609")
TIMES = np.arange(-4, 8) / 200
N_TEST, REPEATS = 4, 5


def write_things_meg(
    root, signal=None, *, n_concepts=8, n_images=2, noise=0.5, seed=0, split_size="2GB", n_test=N_TEST, times=TIMES
):
    """Writes one person; returns file names in the order of the epochs, and these (n, n_sensors, n_times).

    Test pictures are of the first concepts, in other pictures than those shown once.
    """
    generator = np.random.default_rng(seed)
    main = names_of(n_concepts, n_images, "dog")
    test = [f"dog{n}_09s.jpg" for n in range(n_test)]
    kinds_of = {**dict.fromkeys(main, "exp"), **dict.fromkeys(test, "test"), "catch3.jpg": "catch"}
    shown = generator.permutation([*main, *test * REPEATS, *["catch3.jpg"] * 7])
    kinds = [kinds_of[name] for name in shown]
    shape = (len(SENSORS), len(times))
    signal = signal or {name: generator.normal(size=shape) for name in kinds_of}
    data = np.stack([signal.get(name, np.zeros(shape)) for name in shown])
    data = (data + noise * generator.normal(size=data.shape)).astype(np.float32)
    folders = {"exp": "images_meg", "test": "images_test_meg", "catch": "images_catch_meg"}
    rows = ["session_nr,trial_type,image_path,things_image_nr"]
    for name, kind in zip(shown, kinds, strict=True):
        inner = f"{name.rpartition('_')[0]}/{name}" if kind == "exp" else name
        rows.append(f"1,{kind},{folders[kind]}/{inner},3")
    (root / "sourcedata").mkdir(parents=True, exist_ok=True)
    (root / "sourcedata/sample_attributes_P1.csv").write_text("\n".join(rows) + "\n")
    info = mne.create_info(list(SENSORS), 200, "mag")
    epochs = mne.EpochsArray(data, info, tmin=times[0], baseline=None, verbose="error")
    folder = root / "derivatives/preprocessed"
    folder.mkdir(parents=True, exist_ok=True)
    epochs.save(folder / "preprocessed_P1-epo.fif", split_size=split_size, overwrite=True, verbose="error")
    if not (root / "object_images").exists():
        write_pictures(root / "object_images", [f"{name.rpartition('_')[0]}/{name}" for name in [*main, *test]])
    return shown, data


def read(root, **options):
    return ThingsMEG(root, progress=False, **{"average": 1, **options})


@pytest.fixture
def planted(tmp_path):
    return tmp_path, *write_things_meg(tmp_path)


def test_responses_are_the_means_of_each_pictures_epochs(planted):
    root, shown, epochs = planted
    data = read(root)
    assert len(data) == 16 + N_TEST
    for name in ("dog3_02b", "dog1_09s"):
        expected = epochs[shown == f"{name}.jpg"].mean(0)
        row = data.image_ids.index(name)
        np.testing.assert_allclose(data.space.to_sensors(data.responses[row]), expected, atol=1e-5)
    assert data.space.sensor_names == SENSORS
    np.testing.assert_allclose(data.space.time_points, TIMES, atol=1e-9)
    assert {data.image_ids[row] for row in data.splits["test"]} == {f"dog{n}_09s" for n in range(N_TEST)}
    trials = [epochs[shown == f"{name}.jpg"].reshape(-1, data.n_voxels) for name in data.image_ids]
    padded = np.stack([np.pad(x, ((0, REPEATS - len(x)), (0, 0)), constant_values=np.nan) for x in trials])
    np.testing.assert_allclose(data.noise_ceiling, ceiling_from_ncsnr(ncsnr(padded), REPEATS).r, atol=1e-3)
    assert data.n_repeats == REPEATS
    assert data.load_image(0).size == (16, 16)


def test_sensors_by_pattern_windows_and_means_of_samples(planted):
    root, shown, epochs = planted
    data = read(root, sensors=["M?O*"], window=(0.0, 0.035), average=4)
    assert data.space.sensor_names == SENSORS[:2]
    expected = epochs[shown == "dog2_01b.jpg"].mean(0)[:2, 4:12].reshape(2, 2, 4).mean(2)
    row = data.image_ids.index("dog2_01b")
    np.testing.assert_allclose(data.space.to_sensors(data.responses[row]), expected, atol=1e-5)
    with pytest.raises(ValueError, match=r"'MLF\*'"):
        read(root, sensors=["MLF*"])


def test_single_epochs_are_read_again(planted):
    root, shown, epochs = planted
    data = read(root)
    rows = data.splits["test"][:2]
    values, labels, runs = data.single_trials(rows)
    ours = np.isin(shown, [f"{data.image_ids[row]}.jpg" for row in rows])
    assert labels == [name.removesuffix(".jpg") for name in shown[ours]]
    np.testing.assert_allclose(values, epochs[ours].reshape(2 * REPEATS, -1), atol=1e-6)
    assert runs is None  # one session
    assert data.rdms_over_time("decoding", rows=rows).values.shape == (len(TIMES), 1)
    table = root / "sourcedata/sample_attributes_P1.csv"
    first, *lines = table.read_text().splitlines()
    table.write_text("\n".join([first, *(f"{1 + k % 2}{line[1:]}" for k, line in enumerate(lines))]))
    assert read(root).single_trials(rows)[2] == [str(1 + trial % 2) for trial in np.flatnonzero(ours)]


def test_objects_of_test_pictures_can_be_left_out(planted):
    data = read(planted[0], zero_shot=True, val=2)
    used = np.concatenate([data.splits["train"], data.splits["val"]])
    assert {data.groups[row] for row in used} == {f"dog{n}" for n in range(N_TEST, 8)}
    assert len(data.splits["val"]) == 4


def test_files_in_parts_are_one(tmp_path):
    options = {"n_concepts": 30, "times": np.arange(-4, 996) / 200}
    write_things_meg(tmp_path / "one", **options)
    write_things_meg(tmp_path / "parts", split_size="2MB", **options)
    folder = tmp_path / "parts/derivatives/preprocessed"
    assert len(list(folder.glob("*-epo-*.fif"))) > 0
    assert torch.equal(read(tmp_path / "parts").responses, read(tmp_path / "one").responses)
    (folder / "preprocessed_P1-epo-1.fif").unlink()
    with pytest.raises((FileNotFoundError, ValueError), match="preprocessed_P1-epo"):
        read(tmp_path / "parts")


@pytest.mark.parametrize("kind", ["missing", "truncated", "emptied"])
@pytest.mark.parametrize(
    "name", ["derivatives/preprocessed/preprocessed_P1-epo.fif", "sourcedata/sample_attributes_P1.csv"]
)
def test_a_wrong_file_is_one_line_that_names_it(planted, kind, name):
    path = planted[0] / name
    if kind == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: len(path.read_bytes()) // 2] if kind == "truncated" else b"")
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        read(planted[0])
    assert path.name in str(refused.value)
    assert "\n" not in str(refused.value)


def test_tables_of_another_person_are_refused(planted):
    root = planted[0]
    table = root / "sourcedata/sample_attributes_P1.csv"
    lines = table.read_text().splitlines()
    for changed, words in (
        (lines[:-2], "epochs with all its parts.*lists 41"),
        (
            [
                *lines[:-1],
                lines[-1].replace(",exp,", ",expo,").replace(",test,", ",expo,").replace(",catch,", ",expo,"),
            ],
            "'expo'",
        ),
        ([lines[0].replace("image_path", "path"), *lines[1:]], "image_path"),
    ):
        table.write_text("\n".join(changed) + "\n")
        with pytest.raises(ValueError, match=words):
            read(root)
    table.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match="1, 2, 3, 4"):
        ThingsMEG(root, 5)
    with pytest.raises(FileNotFoundError, match="attributes_P2"):
        ThingsMEG(root, 2)


def test_metadata_in_the_epochs_must_be_that_of_the_table(planted):
    import pandas

    root = planted[0]
    path = root / "derivatives/preprocessed/preprocessed_P1-epo.fif"
    epochs = mne.read_epochs(path, verbose="error")
    listed = pandas.read_csv(root / "sourcedata/sample_attributes_P1.csv")
    epochs.metadata = listed
    epochs.save(path, overwrite=True, verbose="error")
    assert len(read(root)) == 16 + N_TEST
    epochs.metadata = listed.iloc[::-1].reset_index(drop=True)
    epochs.save(path, overwrite=True, verbose="error")
    with pytest.raises(ValueError, match=r"epoch \d+ shows"):
        read(root)


def test_without_mne_it_says_what_to_install(planted, monkeypatch):
    monkeypatch.setitem(sys.modules, "mne", None)
    with pytest.raises(ModuleNotFoundError, match="meeg"):
        read(planted[0])


def test_it_is_built_from_a_config_by_name(planted):
    words = ["DATASET.NAME", "things_meg", "DATASET.DATA_DIR", str(planted[0]), "DATASET.OPTIONS", "{'average': 6}"]
    data = build_dataset(load_config(None, words))
    assert type(data) is DATASETS["things_meg"]
    assert data.n_voxels == 4 * 2


def test_a_planted_map_of_layers_over_time_is_found_again(tmp_path):
    options = {"n_concepts": 60, "noise": 0.2, "n_test": 20}
    write_things_meg(tmp_path, **options)
    data = read(tmp_path)
    store = TokenStore.build(TwoLayers(), data, progress=False)
    generator = torch.Generator().manual_seed(1)
    drive = {}
    for layer in ("early", "late"):
        features = store.features(layer).flatten(1)
        features = (features - features.mean(0)) / features.std(0)
        weights = torch.randn(features.shape[1], len(SENSORS), generator=generator)
        drive[layer] = (features @ weights / features.shape[1] ** 0.5).numpy()
    signal = {f"{name}.jpg": np.where(TIMES < 0.02, drive["early"][i][:, None], drive["late"][i][:, None])
              for i, name in enumerate(data.image_ids)}  # fmt: skip
    write_things_meg(tmp_path, signal, **options)
    found = encode(store, read(tmp_path), n_resamples=5, progress=False)
    best, layers = found.best_layers("model", "subject")
    is_late = data.space.to_sensors(torch.tensor([layers[i] == "late" for i in best]), fill=0).bool()
    assert (is_late == torch.from_numpy(TIMES >= 0.02)).double().mean() > 0.95
