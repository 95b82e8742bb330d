"""Files of RDMs read as regions, courses and models."""

import h5py
import numpy as np
import pytest
import scipy.io
import torch
from scipy.stats import spearmanr

from brainnet.rsa import RDMs
from brainnet.run.rsa.rdm_files import as_read, read_courses, read_models, read_regions
from brainnet.run.rsa.rsa import compare_over_time, compare_rdms


def test_wrong_files_are_one_clear_line(files, tmp_path):
    np.save(tmp_path / "meg.npy", np.random.default_rng(0).random((2, 3, 66)))  # 2 subjects, 3 times: never 6 subjects
    (tmp_path / "scores.csv").write_text("voxel,r\n0,0.5\n")
    model = files / "net.npz"
    for call, message in [
        (lambda: compare_rdms([], tmp_path / "o"), "at least one file of brain RDMs"),
        (lambda: compare_rdms([tmp_path / "none.npz"], tmp_path / "o"), "no RDM file"),
        (lambda: compare_rdms([files / "brain_V1.npz"] * 2, tmp_path / "o"), "two files are called"),
        (lambda: compare_rdms([model], model), "is a file; name a folder"),
        (lambda: compare_rdms([tmp_path / "meg.npy"], tmp_path / "o"), "holds 6 RDMs on several axes .2 x 3.*rsa time"),
        (lambda: compare_rdms([tmp_path / "scores.csv"], tmp_path / "o"), "scores.csv is not a table of numbers alone"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError, FileExistsError), match=message):
            call()
        assert not (tmp_path / "o").exists(), message  # a call that fails leaves no folder


def test_what_is_no_course_over_time_is_refused(files, course):
    brain, net, out = files / "brain_V1.npz", files / "net.npz", files / "o"
    np.save(files / "subjects" / "sub9.npy", np.random.default_rng(0).random((4, 66)))
    for call, message in [
        (lambda: compare_over_time([brain], out, models=[net]), "holds 4 RDMs; over time expected are"),
        (lambda: compare_over_time([files / "subjects"], out, models=[net]), "different numbers of time points"),
        (lambda: compare_over_time([files / "meg.npz"], out, models=[]), "at least one file of model RDMs"),
        (lambda: compare_over_time([], out, models=[net]), "brain RDMs over time"),
        (lambda: compare_over_time([files / "meg.npz"] * 2, out, models=[net]), "two inputs are called 'meg'"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()
        assert not out.exists(), message


def test_single_rdms_are_no_course_over_time(files):
    for name in ("one", "two"):
        (files / "alone").mkdir(exist_ok=True)
        RDMs.load(files / "brain_V1.npz")[0].save(files / "alone" / f"{name}.npz")
    with pytest.raises(ValueError, match="alone holds 2 subjects with one RDM each: that is no course over time"):
        compare_over_time([files / "alone"], files / "results", models=[files / "net.npz"])


def test_axes_follow_from_what_a_file_is_read_as(files, course):
    assert list(read_regions([files / "brain_V1.npz"], None)["brain_V1"].axes) == ["subject"]
    assert read_models([files / "net.npz"], None)["net"].axes == {"layer": ("low", "high")}
    found = read_courses([files / "meg.npz"], None).rdms["meg"]
    assert len(found) == 6
    assert found[2].axes == {"subject": ("0", "1", "2", "3", "4")}
    by_folder = read_courses([files / "subjects"], None).rdms["subjects"]
    assert by_folder[2].names == ("sub0", "sub1", "sub2", "sub3", "sub4")
    for one, other, expected in zip(found, by_folder, course, strict=True):
        assert one.values.equal(expected.values)
        assert other.values.equal(expected.values)


def test_a_structure_of_subjects_and_sessions_is_no_list_of_subjects(files, rng):
    square = RDMs.load(files / "brain_V1.npz").to_square().numpy()
    structure = np.empty((2, 2), dtype=[("RDM", object), ("name", object)])
    for place, matrix in zip(np.ndindex(2, 2), square, strict=True):
        structure[place] = (matrix, f"subject {place}")
    scipy.io.savemat(files / "toolbox.mat", {"RDMs": structure})
    with pytest.raises(ValueError, match="'toolbox' holds 4 RDMs on several axes .2 x 2., such as subjects and sessi"):
        read_regions([files / "toolbox.mat"], None)


def test_pooled_regions_are_read_as_subjects(files):
    said = [str(one) for one in as_read("model", read_regions([files / "brain_V1.npz"], None))]
    assert said == ["model brain_V1: 4 subjects (0, 1, 2, 3)"]


def test_times_are_those_that_the_files_name(files, course):
    labels = ("-0.1", "0", "0.1", "0.2", "0.3", "0.4")
    (files / "named").mkdir()
    for number, name in enumerate(("a", "b")):
        values = torch.stack([rdms.values[number] for rdms in course])
        RDMs(values, "correlation", labels, axes={"time": labels}).save(files / "named" / f"{name}.npz")
    seconds = [float(label) for label in labels]
    folder = read_courses([files / "named"], None)
    assert folder.times == seconds
    one = read_courses([files / "named" / "b.npz"], None)
    assert one.times == seconds
    assert one.rdms["b"][3].values.equal(course[3].values[1:2])
    assert read_courses([files / "meg.npz"], None).times is None  # counted
    assert read_courses([files / "named", files / "meg.npz"], None).times is None
    tables = compare_over_time([files / "named"], files / "out", models=[files / "net.npz"], progress=False,
                               generalise="subjects")  # fmt: skip
    assert tables["scores"]["time"].unique().tolist() == seconds
    RDMs(values, "correlation", axes={"time": [f"{10 * second:g}" for second in seconds]}).save(files / "ms.npz")
    with pytest.raises(ValueError, match="'ms' are -1 to 4 s and those of 'named' -0.1 to 0.4 s"):
        read_courses([files / "named", files / "ms.npz"], None)


# ---------------------------------------------------------------------- as other tools publish them


def square(*shape, n=6, seed=0):
    values = np.random.default_rng(seed).uniform(size=(*shape, n, n))
    values = values + values.swapaxes(-1, -2)
    values[..., np.arange(n), np.arange(n)] = 0
    return values


def test_a_folder_of_net2brain_is_its_regions_and_a_network_of_it_is_one_model(tmp_path):
    brain, network = tmp_path / "brain_data", tmp_path / "AlexNet"
    brain.mkdir()
    network.mkdir()
    regions = {"V1": square(4, seed=1), "IT": square(4, seed=2), "PPA": square(4, seed=3)}
    np.savez(brain / "V1.npz", arr_0=regions["V1"])
    np.save(brain / "IT.npy", regions["IT"])
    with h5py.File(brain / "PPA.mat", "w") as file:  # MATLAB writes its axes reversed
        file["fmri"] = regions["PPA"].transpose(2, 1, 0)
    (brain / "noise_ceiling_log.json").write_text("{}")
    pairs = np.triu_indices(6, 1)
    for seed, layer in enumerate(("features.2", "features.10")):
        rdm = square(seed=10 + seed)[pairs].astype(np.float32)
        meta = np.array({"distance": "pearson"}, dtype=object)
        np.savez(network / f"RDM_{layer.replace('.', '_')}.npz", rdm=rdm, layer_name=layer, meta=meta,
                 stimuli_name=np.array([f"im{k}" for k in range(6)]))  # fmt: skip
    found = read_regions([brain], None)
    assert list(found) == ["IT", "PPA", "V1"]
    for name, rdms in found.items():
        np.testing.assert_allclose(rdms.to_square(), regions[name])
    with pytest.warns(UserWarning, match="only one side names"):
        tables = compare_rdms([brain], tmp_path / "out", models=[network], generalise="subjects", progress=False)
    assert tables["scores"]["layer"].tolist() == ["features.2", "features.10"] * 3  # as a person counts
    assert set(tables["scores"]["model"]) == {"AlexNet"}
    expected = spearmanr(square(seed=11)[pairs].astype(np.float32), regions["V1"][0][pairs]).statistic
    scores = [spearmanr(square(seed=11)[pairs], one[pairs]).statistic for one in regions["V1"]]
    assert scores[0] == pytest.approx(expected)
    row = tables["scores"].query("roi == 'V1' and layer == 'features.10'")
    assert row["score"].item() == pytest.approx(np.mean(scores), abs=1e-5)
    with pytest.raises(ValueError, match="two models are called 'AlexNet'"):
        read_models([network, network], None)


def test_a_folder_of_regions_over_time_is_its_files(tmp_path):
    (tmp_path / "meg").mkdir()
    early, late = square(3, 5, seed=1), square(3, 5, seed=2)
    np.save(tmp_path / "meg/EVC.npy", early)
    np.savez(tmp_path / "meg/IT.npz", arr_0=late)
    (tmp_path / "meg/noise_ceiling_log.json").write_text("{}")
    found = read_courses([tmp_path / "meg"], None)
    assert {name: len(course) for name, course in found.rdms.items()} == {"EVC": 5, "IT": 5}
    np.testing.assert_allclose(found.rdms["IT"][3].to_square(), late[:, 3])
    np.save(tmp_path / "meg/OFA.npy", square(5, seed=3))
    with pytest.raises(ValueError, match="several axes"):
        read_courses([tmp_path / "meg"], None)


def test_files_of_dnn_to_brain_function_are_regions_and_models(tmp_path):
    regions, tasks = tmp_path / "fMRI_RDMs_pearson", tmp_path / "taskonomy"
    regions.mkdir()
    tasks.mkdir()
    brain = square(4, seed=1)
    for name in ("hV4", "V1v"):
        scipy.io.savemat(regions / f"{name}.mat", {"subject_rdm": brain})
    model = square(seed=5)
    for task in ("edge2d", "class_places"):
        for layer in ("block4", "encoder_output"):
            scipy.io.savemat(tasks / f"{task}_{layer}.mat", {"rdm": model})
    found = compare_rdms([regions], tmp_path / "out", models=[tasks], generalise="subjects", progress=False)["scores"]
    assert set(found["roi"]) == {"hV4", "V1v"}
    assert set(found["model"]) == {f"{t}_{k}" for t in ("edge2d", "class_places") for k in ("block4", "encoder_output")}
    pairs = np.triu_indices(6, 1)
    expected = np.mean([spearmanr(model[pairs], one[pairs]).statistic for one in brain])
    np.testing.assert_allclose(found["score"], expected, atol=1e-6)
