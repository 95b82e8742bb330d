from __future__ import annotations

import pytest

from brainnet.plmodel import PLModel, hub
from brainnet.plmodel.encoder_files import CONFIG, WEIGHTS
from tests.plmodel.trainings import fitted
from tests.toy_hub import serving_hub
from tests.toys import ToyBackbone

NAME = "me/encoder"


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return fitted(tmp_path_factory.mktemp("model"))


@pytest.fixture
def served(monkeypatch):
    with serving_hub(token="secret") as served:
        monkeypatch.setenv("HF_ENDPOINT", served.address)
        yield served


def loaded(tmp_path, name=NAME, **options):
    return PLModel.from_pretrained(name, cache_dir=tmp_path / "cache", **({"backbone": None} | options))


def test_what_is_pushed_is_what_is_loaded(model, served, tmp_path, rng):
    import torch

    address = model.push_to_hub(NAME, token="secret")
    assert address == f"{served.address}/{NAME}"
    assert set(served.files(NAME)) == {CONFIG, WEIGHTS, "README.md"}
    found = loaded(tmp_path, backbone=ToyBackbone())
    images = torch.rand(3, 3, 32, 32, generator=rng)
    assert torch.equal(found(images)[0], model(images)[0])


def test_a_revision_is_a_branch_or_a_commit_and_both_files_are_of_one(model, served, tmp_path):
    model.push_to_hub(NAME, token="secret")
    first = served.branches[NAME]["main"]
    model.push_to_hub(NAME, token="secret", revision="v2")
    served.put(NAME, {WEIGHTS: b"of another commit"})
    assert loaded(tmp_path, revision="v2").space.n_voxels == 7
    assert loaded(tmp_path, revision=first).space.n_voxels == 7
    with pytest.raises(ValueError, match="is damaged"):
        loaded(tmp_path)
    with pytest.raises(FileNotFoundError, match="no revision 'v3'"):
        loaded(tmp_path, revision="v3")


def test_a_commit_that_comes_between_both_files_mixes_none(model, served, tmp_path, monkeypatch):
    model.push_to_hub(NAME, token="secret")
    fetch = hub._fetch

    def fetch_and_move(client, name, file, revision, common):
        path = fetch(client, name, file, revision, common)
        served.put(NAME, {WEIGHTS: b"of another commit"})
        return path

    monkeypatch.setattr(hub, "_fetch", fetch_and_move)
    assert loaded(tmp_path).space.n_voxels == 7


def test_a_hub_that_ends_is_replaced_by_its_cache(model, served, tmp_path):
    model.push_to_hub(NAME, token="secret")
    loaded(tmp_path)
    served.broken = 503
    assert loaded(tmp_path).space.n_voxels == 7
    with pytest.raises(ConnectionError, match=r"me/other.*503"):
        loaded(tmp_path, "me/other")


def test_a_hub_that_does_not_answer_is_one_line(tmp_path, model, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    for call in (lambda: loaded(tmp_path), lambda: model.push_to_hub(NAME, token="secret")):
        with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:9.*me/encoder.*HF_ENDPOINT") as said:
            call()
        assert "\n" not in str(said.value)


def test_what_is_not_there_is_said(served, tmp_path, model):
    served.put("me/empty", {"README.md": b""})
    served.put("me/half", {CONFIG: b"{}"})
    with pytest.raises(FileNotFoundError, match="no encoder me/none"):
        loaded(tmp_path, "me/none")
    with pytest.raises(FileNotFoundError, match=CONFIG):
        loaded(tmp_path, "me/empty")
    with pytest.raises(FileNotFoundError, match=WEIGHTS):
        loaded(tmp_path, "me/half")
    for name in ("encoder", "../me/encoder", "/no/where", "a/b/c", "me/.."):
        with pytest.raises(FileNotFoundError, match="OWNER/NAME"):
            loaded(tmp_path, name)
    with pytest.raises(ValueError, match="OWNER/NAME"):
        model.push_to_hub("encoder")


def test_a_token_that_may_not_write(model, served):
    with pytest.raises(PermissionError, match=NAME):
        model.push_to_hub(NAME, token="another")
    assert NAME not in served.commits


def test_a_file_that_is_too_large_is_not_fetched(model, served, tmp_path, monkeypatch):
    model.push_to_hub(NAME, token="secret")
    monkeypatch.setattr("brainnet.plmodel.encoder_files.LARGEST_WEIGHTS", 1000)
    with pytest.raises(ValueError, match="1 kB is the most"):
        loaded(tmp_path)
    assert ("GET", f"/{NAME}/resolve/{served.branches[NAME]['main']}/{WEIGHTS}") not in served.asked


def test_an_id_is_owner_and_name():
    assert hub.is_id("me/net.v-1_2")
    assert not any(map(hub.is_id, ("net", "a/b/c", "../b", "a/..", "/a", "a/", "a b/c", "")))
