"""Files of RDMs read as regions, courses and models."""

import numpy as np
import pytest
import scipy.io
import torch

from brainnet.rsa import RDMs
from brainnet.run.rdm_files import as_read, read_courses, read_models, read_regions
from brainnet.run.rsa import compare_over_time, compare_rdms


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
