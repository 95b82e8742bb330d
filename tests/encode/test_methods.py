"""Methods by name: brainnet's own, those of a user's file, and estimators that say what they read."""

import copy

import numpy as np
import pytest
import torch

from brainnet.dataset.base import ResponseDataset
from brainnet.encode import METHODS, FitKey, encode, find_estimators
from brainnet.ridge import RidgeCV
from brainnet.space import BrainSpace

N = 60
LAYERS = {name: np.random.default_rng(i).normal(size=(N, 4)) for i, name in enumerate(("early", "late"))}
OWN = """
import numpy as np
from brainnet.ridge import RidgeCV

class MyRidge(RidgeCV):
    def __init__(self):
        super().__init__(scoring="r2")

class MyBanded:
    reads = "spaces"

    def fit(self, X, Y):
        self.own = RidgeCV().fit(np.hstack([np.asarray(x) for x in X.values()]), np.asarray(Y))
        self.names = list(X)
        return self

    def predict(self, X):
        assert list(X) == self.names
        return self.own.predict(np.hstack([np.asarray(x) for x in X.values()]))

    def training_score(self):
        return self.own.training_score()
"""


@pytest.fixture
def dataset():
    rng = np.random.default_rng(7)
    y = LAYERS["late"] @ rng.normal(size=(4, 3)) + 0.5 * rng.normal(size=(N, 3))
    splits = {"train": range(40), "test": range(40, N)}
    return ResponseDataset([f"im{i}" for i in range(N)], y, BrainSpace.free(3), splits)


@pytest.fixture
def own(tmp_path):
    (tmp_path / "mine.py").write_text(OWN)
    return tmp_path / "mine.py"


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_estimators_of_a_users_own_file_take_part(dataset, own, n_jobs):
    names = ["ridge", f"{own}:MyRidge", f"{own}:MyBanded"]
    encoding = encode(LAYERS, dataset, methods=names, n_resamples=2, n_jobs=n_jobs)
    keys = {(key.method, key.layer) for key in encoding.fits}
    assert keys == {(method, layer) for method in ("ridge", "MyRidge") for layer in ("early", "late", "best")} | {
        ("MyBanded", "all")
    }
    ours, theirs = (encoding.fits[FitKey("model", "subject", name, "late")] for name in ("ridge", "MyRidge"))
    assert torch.equal(ours.predictions["test"], theirs.predictions["test"])
    banded = encoding.fits[FitKey("model", "subject", "MyBanded", "all")]
    joint = np.hstack(list(LAYERS.values()))
    expected = RidgeCV().fit(joint[:40], dataset.responses[:40].numpy()).predict(joint[40:])
    np.testing.assert_allclose(banded.predictions["test"], expected, atol=1e-5)
    assert banded.selection.isfinite().all()


def test_a_change_in_a_users_own_file_runs_its_jobs_again(dataset, own, tmp_path):
    key = FitKey("model", "subject", "MyRidge", "late")
    first = encode(LAYERS, dataset, methods=[f"{own}:MyRidge"], out=tmp_path / "out", n_resamples=2)
    prediction = first.fits[key].predictions["test"]
    changed = own.with_name("changed.py")
    changed.write_text(OWN.replace('scoring="r2"', 'alphas=[1e6], scoring="r2"'))
    again = encode(LAYERS, dataset, methods=[f"{changed}:MyRidge"], out=tmp_path / "out", n_resamples=2)
    assert not torch.equal(prediction, again.fits[key].predictions["test"])


def test_methods_are_found_in_the_registry(dataset):
    with METHODS.temporarily("gentle", lambda: RidgeCV([1.0])):
        encoding = encode(LAYERS, dataset, methods="gentle", n_resamples=2)
    assert FitKey("model", "subject", "gentle", "late") in encoding.fits


class Reads:
    def __init__(self, reads):
        self.reads = reads

    fit = predict = None


@pytest.mark.parametrize(
    ("methods", "error", "words"),
    [(["rigde"], ValueError, "'ridge'"), ([], ValueError, "banded, mixed, ridge"), ({"x": RidgeCV}, TypeError, "'x'"),
     ({"x": 3}, TypeError, "3"), ({"x": Reads("pixels")}, ValueError, "'pixels'")],
)  # fmt: skip
def test_what_is_no_method_is_refused(methods, error, words):
    with pytest.raises(error, match=words):
        find_estimators(methods)


def test_choices_within_the_training_images_leave_one_run_out(dataset):
    runs = np.repeat(np.arange(6), 10)
    encoding = encode(LAYERS, dataset, methods=["ridge", "banded"], groups=runs, layers=["late"], n_resamples=2)
    x, y = LAYERS["late"], dataset.responses
    fit = RidgeCV(scoring="r2", cv="groups").fit(x[:40], y[:40].numpy(), groups=runs[:40])
    found = encoding.fits[FitKey("model", "subject", "ridge", "late")]
    np.testing.assert_allclose(found.selection, fit.training_score())
    np.testing.assert_allclose(found.predictions["test"], fit.predict(x[40:]), atol=1e-6)
    with pytest.raises(ValueError, match="subject have no runs"):
        encode(LAYERS, dataset, groups="dataset", layers=["late"], n_resamples=2)
    known = copy.copy(dataset)
    known.groups = runs
    own = encode(LAYERS, known, groups="dataset", layers=["late"], n_resamples=2)
    assert torch.equal(own.fits[FitKey("model", "subject", "ridge", "late")].selection, found.selection)
    folds = encode(LAYERS, dataset, cv=3, layers=["late"], n_resamples=2)
    expected = RidgeCV(scoring="r2", cv=3).fit(x[:40], y[:40].numpy()).training_score()
    np.testing.assert_allclose(folds.fits[FitKey("model", "subject", "ridge", "late")].selection, expected)


def test_groups_belong_to_a_job_and_are_checked(dataset, tmp_path):
    key = FitKey("model", "subject", "ridge", "late")
    selections = []
    for runs in (np.repeat(np.arange(6), 10), np.arange(N) % 3, [f"run {i % 4}" for i in range(N)]):
        encoding = encode(LAYERS, dataset, groups=runs, out=tmp_path, n_resamples=2)
        selections.append(encoding.fits[key].selection)
    assert not torch.equal(selections[0], selections[1])
    assert not torch.equal(selections[1], selections[2])
    for groups, methods, words in (([1, 2], "ridge", "60 images"), (np.arange(N) >= 40, "ridge", "one group"),
                                   (np.minimum(np.arange(N), 1), "ridge", "alone in its group, '0'")):  # fmt: skip
        with pytest.raises(ValueError, match=words):
            encode(LAYERS, dataset, groups=groups, methods=methods, n_resamples=2)
