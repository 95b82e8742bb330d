import h5py
import numpy as np
import pytest
import scipy.io
import torch
from scipy.spatial.distance import pdist, squareform

from brainnet.rsa import RDMs


@pytest.fixture
def rdms(rng):
    values = torch.rand(3, 15, generator=rng, dtype=torch.float64)
    return RDMs(values, "cosine", ("s1", "s2", "s3"), tuple(f"im_{i}" for i in (3, 1, 2, 10, 20, 5)))


@pytest.mark.parametrize("suffix", [".npz", ".h5", ".hdf5"])
def test_what_is_saved_comes_back(rdms, tmp_path, suffix):
    found = RDMs.load(rdms.save(tmp_path / f"rdms{suffix}"))
    assert torch.equal(found.values, rdms.values)
    assert (found.metric, found.names, found.conditions) == (rdms.metric, rdms.names, rdms.conditions)
    unnamed = RDMs(rdms.values.float())
    found = RDMs.load(unnamed.save(tmp_path / f"unnamed{suffix}"))
    assert found.conditions is None
    assert found.values.dtype == torch.float32
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_net2brain_files(rdms, tmp_path):
    layer = {"rdm": rdms.values[0].numpy(), "stimuli_name": np.array(rdms.conditions), "layer_name": "conv1"}
    np.savez(tmp_path / "RDM_conv1.npz", **layer, meta=np.array({"distance": "pearson"}, dtype=object))
    found = RDMs.load(tmp_path / "RDM_conv1.npz")
    assert (found.names, found.conditions) == (("conv1",), rdms.conditions)
    assert torch.equal(found.values, rdms.values[:1])
    content = {
        "rdm": rdms.values[0],
        "stimuli_name": list(rdms.conditions),
        "layer_name": "conv1",
        "meta": {"distance": "l2"},
    }
    torch.save(content, tmp_path / "RDM_conv1.pt")
    found = RDMs.load(tmp_path / "RDM_conv1.pt")
    assert (found.names, found.conditions) == (("conv1",), rdms.conditions)
    movie = rdms.values.numpy().reshape(1, 3, 15)  # (clips, time, pairs)
    np.savez(tmp_path / "movie.npz", rdm=movie, layer_name="conv1", stimuli_name=np.array(rdms.conditions))
    assert RDMs.load(tmp_path / "movie.npz").names == ("conv1/0/0", "conv1/0/1", "conv1/0/2")


@pytest.mark.parametrize("stacked", ["first", "last"])
def test_matlab_files_of_both_generations(rdms, tmp_path, stacked):
    square = rdms.to_square().numpy()
    content = square if stacked == "first" else np.moveaxis(square, 0, -1)
    scipy.io.savemat(tmp_path / "v5.mat", {"subject_rdm": content})
    with h5py.File(tmp_path / "v73.mat", "w") as file:
        file["subject_rdm"] = content.T  # MATLAB writes its arrays with the axes reversed
    for name in ("v5.mat", "v73.mat"):
        assert torch.equal(RDMs.load(tmp_path / name).values, rdms.values), name


def test_vectors_in_matlab_files_of_both_generations(rdms, tmp_path):
    vectors = rdms.values.numpy()
    scipy.io.savemat(tmp_path / "v5.mat", {"rdm": vectors})
    with h5py.File(tmp_path / "v73.mat", "w") as file:
        file["rdm"] = vectors.T
    for name in ("v5.mat", "v73.mat"):
        assert torch.equal(RDMs.load(tmp_path / name).values, rdms.values), name


def test_matlab_structures_with_an_rdm_field(rdms, tmp_path):
    square = rdms.to_square().numpy()
    structure = np.empty((1, 3), dtype=[("RDM", object), ("name", object)])
    for i in range(3):
        structure[0, i] = (square[i], f"subject {i}")
    scipy.io.savemat(tmp_path / "toolbox.mat", {"RDMs": structure})
    found = RDMs.load(tmp_path / "toolbox.mat")
    assert torch.equal(found.values, rdms.values)
    assert found.names == ("subject 0", "subject 1", "subject 2")


def test_a_structure_of_subjects_and_sessions_keeps_both_axes(rng, tmp_path):
    square = RDMs(torch.rand(8, 15, generator=rng, dtype=torch.float64)).to_square().numpy()
    structure = np.empty((4, 2), dtype=[("RDM", object), ("name", object)])
    for subject, session in np.ndindex(4, 2):
        structure[subject, session] = (square[2 * subject + session], f"s{subject} session {session}")
    scipy.io.savemat(tmp_path / "toolbox.mat", {"RDMs": structure})
    found = RDMs.load(tmp_path / "toolbox.mat")
    assert [len(labels) for labels in found.axes.values()] == [4, 2]
    by_session = found.with_axes("subject", "session").along("session")
    assert torch.equal(by_session[1].values, found.values[1::2])
    assert found.names[3] == "s1 session 1"


def test_structures_and_texts_in_new_matlab_files(rdms, tmp_path):
    """As MATLAB writes v7.3: axes reversed, structures as groups of pointers, texts as character codes."""

    def codes(text):
        return np.array([[ord(letter)] for letter in text], dtype=np.uint16)

    with h5py.File(tmp_path / "v73.mat", "w") as file:
        group, pointers = file.create_group("RDMs"), file.create_group("#refs#")
        for field, values in (("RDM", rdms.to_square().numpy()), ("name", map(codes, rdms.names))):
            held = [pointers.create_dataset(f"{field}{i}", data=value).ref for i, value in enumerate(values)]
            group.create_dataset(field, data=np.array(held, dtype=h5py.ref_dtype)[:, None], dtype=h5py.ref_dtype)
        held = [pointers.create_dataset(name, data=codes(name)).ref for name in rdms.conditions]
        file.create_dataset("stimuli", data=np.array(held, dtype=h5py.ref_dtype)[None], dtype=h5py.ref_dtype)
    found = RDMs.load(tmp_path / "v73.mat")
    assert torch.equal(found.values, rdms.values)
    assert (found.names, found.conditions) == (rdms.names, rdms.conditions)


def test_meadows_files(rdms, tmp_path):
    stimuli = np.array(rdms.conditions, dtype=object)[None]
    scipy.io.savemat(tmp_path / "one.mat", {"rdmutv": rdms.values[:1].numpy(), "stimuli": stimuli})
    assert RDMs.load(tmp_path / "one.mat").conditions == rdms.conditions
    entries = {f"rdmutv_{name}": row[None].numpy() for name, row in zip(rdms.names, rdms.values, strict=True)}
    scipy.io.savemat(tmp_path / "all.mat", {**entries, "stimuli": np.array(rdms.conditions)})  # padded texts
    found = RDMs.load(tmp_path / "all.mat")
    assert (found.names, found.conditions) == (rdms.names, rdms.conditions)
    assert torch.equal(found.values, rdms.values)


def test_axes_come_back_by_name(rng, tmp_path):
    lights = RDMs(torch.rand(6, 15, generator=rng), axes={"centre": ("a", "b", "c"), "subject": ("s1", "s2")})
    for suffix in (".npz", ".h5"):
        found = RDMs.load(lights.save(tmp_path / f"lights{suffix}"))
        assert found.axes == lights.axes
    np.save(tmp_path / "lights.npy", lights.to_square().view(3, 2, 6, 6).numpy())
    found = RDMs.load(tmp_path / "lights.npy")
    assert found.axes == {"axis 0": ("0", "1", "2"), "axis 1": ("0", "1")}
    assert torch.equal(found.with_axes("centre", "subject").along("centre")[2].values, lights.values[4:])


def test_an_entry_with_a_likely_name_is_not_taken_before_another(rdms, tmp_path):
    square = rdms.to_square().numpy()
    scipy.io.savemat(tmp_path / "model.mat", {"RDMs": square, "rdm92_V1model": square[0]})
    with pytest.raises(ValueError, match=r"one of RDMs, rdm92_V1model \(RDMs 3x6x6, rdm92_V1model 6x6\)"):
        RDMs.load(tmp_path / "model.mat")
    assert len(RDMs.load(tmp_path / "model.mat", "rdm92_V1model")) == 1
    np.savez(tmp_path / "times.npz", rdm=rdms.values.numpy(), times=np.arange(7.0))  # 7 is no number of pairs
    assert len(RDMs.load(tmp_path / "times.npz")) == 3


def test_a_file_of_objects_is_not_recommended_for_unpickling(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}, None], dtype=object))
    with pytest.raises(ValueError, match=r"objects\.npy") as error:
        RDMs.load(tmp_path / "objects.npy")
    assert "pickle" not in str(error.value)


def test_thingsvision_matrices_with_a_rounded_diagonal(tmp_path):
    x = np.random.default_rng(0).normal(size=(6, 20)).astype(np.float32)
    matrix = squareform(pdist(x, "correlation")).astype(np.float32) + 1.8e-7 * np.eye(6, dtype=np.float32)
    np.save(tmp_path / "rdm.npy", matrix)
    np.savetxt(tmp_path / "rdm.txt", matrix)
    scipy.io.savemat(tmp_path / "rdm.mat", {"features": matrix})
    for name in ("rdm.npy", "rdm.txt", "rdm.mat"):
        np.testing.assert_allclose(RDMs.load(tmp_path / name).values[0].numpy(), pdist(x, "correlation"), atol=1e-6)


def test_algonauts_files(test_data):
    folder = test_data / "algonauts2019"
    assert len(RDMs.load(folder / "rdms_92" / "fmri_IT_RDMs.npz")) == 15
    found = RDMs.load(folder / "rdms_78" / "fmri_EVC_RDMs.npz")
    assert (len(found), found.n_conditions) == (15, 78)


def test_bad_files_get_one_clear_line(rdms, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no RDM file .*readable are"):
        RDMs.load(tmp_path / "none.npz")
    with pytest.raises(ValueError, match=r"saved as .npz"):
        rdms.save(tmp_path / "rdms.mat")
    np.savez(tmp_path / "two.npz", a=rdms.values.numpy(), b=rdms.values.numpy())
    with pytest.raises(ValueError, match="pass key=, one of a, b"):
        RDMs.load(tmp_path / "two.npz")
    assert len(RDMs.load(tmp_path / "two.npz", key="b")) == 3
    with pytest.raises(ValueError, match="no entry 'c'; it holds a, b"):
        RDMs.load(tmp_path / "two.npz", key="c")
    np.savez(tmp_path / "pickled.npz", rdm=np.array([{}, None], dtype=object))
    with pytest.raises(ValueError, match="nothing shaped like RDMs"):
        RDMs.load(tmp_path / "pickled.npz")
    np.save(tmp_path / "similarity.npy", np.eye(4))
    with pytest.raises(ValueError, match=r"similarity.npy, entry 'array': an RDM has zeros on its diagonal"):
        RDMs.load(tmp_path / "similarity.npy")
