"""The grid of encoding jobs: right numbers, choices on training images only, controls, resuming, refusals."""

import contextlib
import os

import joblib
import numpy as np
import pandas as pd
import pytest
import torch

from brainnet import scores
from brainnet.dataset.base import ResponseDataset
from brainnet.encode import BEST_LAYER, NOISE_CEILING, Encoding, Fit, FitKey, encode
from brainnet.ridge import BandedRidgeCV, LinearRegressionCV, RidgeCV, WindowRidgeCV
from brainnet.space import BrainSpace
from brainnet.store import TokenStore
from brainnet.tokens import Tokens
from tests.toys import Whereabouts

N, VOXELS = 120, 6
SPLITS = {"train": range(80), "val": range(80, 90), "test": range(90, N)}


@pytest.fixture
def layers():
    rng = np.random.default_rng(0)
    return {"early": rng.normal(size=(N, 8)), "late": rng.normal(size=(N, 8))}


def subject(responses, **extra):
    rois = {"V1": torch.arange(VOXELS) < 2, "V4": torch.arange(VOXELS) >= 2}
    ids = [f"image {i}" for i in range(N)]
    return ResponseDataset(ids, responses, BrainSpace.free(VOXELS, rois), SPLITS, **extra)


@pytest.fixture
def dataset(layers):
    """Voxels of V1 follow the early layer, those of V4 the late one."""
    rng = np.random.default_rng(1)
    signal = np.hstack([layers["early"] @ rng.normal(size=(8, 2)), layers["late"] @ rng.normal(size=(8, 4))])
    return subject(signal + rng.normal(size=signal.shape), noise_ceiling=np.full(VOXELS, 0.9))


def row(encoding, **wanted):
    table = encoding.table
    for name, value in {"split": "test", "control": "", "roi": "all", "score": "r", **wanted}.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_rows_hold_the_scores_of_plain_fits(layers, dataset):
    encoding = encode(layers, dataset, n_resamples=50)
    y = dataset.responses
    for layer, x in layers.items():
        fit = RidgeCV(scoring="r2").fit(x[:90], y[:90].numpy())
        r = scores.pearson_r(fit.predict(x[90:]), y[90:])
        found = row(encoding, layer=layer, roi="V4")
        assert found["mean"] == pytest.approx(r[2:].mean().item(), abs=1e-6)
        assert found["ceiling_share"] == pytest.approx(r[2:].mean().item() / 0.9, abs=1e-6)
        assert found["low"] < found["mean"] < found["high"]
        assert (found["n_voxels"], found["n_excluded"]) == (4, 0)
    best, names = encoding.best_layers("model", "subject")
    assert [names[i] for i in best] == ["early"] * 2 + ["late"] * 4
    assert row(encoding, layer=BEST_LAYER)["chosen_layer"] == "late"


def test_the_best_layer_is_chosen_on_training_images_only():
    """Early is the better one on training images and noise on test images: choosing by test scores would take late."""
    rng = np.random.default_rng(1)
    cause = rng.normal(size=(N, 8))
    layers = {"early": cause.copy(), "late": cause + 0.3 * rng.normal(size=(N, 8))}
    layers["early"][90:] = rng.normal(size=(30, 8))
    encoding = encode(layers, subject(cause @ rng.normal(size=(8, VOXELS))), n_resamples=10)
    assert row(encoding, layer=BEST_LAYER)["chosen_layer"] == "early"
    assert row(encoding, layer="early")["mean"] < 0.3 < row(encoding, layer="late")["mean"]
    assert row(encoding, layer=BEST_LAYER)["mean"] == row(encoding, layer="early")["mean"]


def test_shuffled_control_scores_zero_and_twins_their_own(layers, dataset):
    rng = np.random.default_rng(2)
    twin = {"early": rng.normal(size=(N, 8)), "late": rng.normal(size=(N, 8))}
    encoding = encode(
        {"net": layers}, dataset, controls=("shuffled", "random"), twins={"net": twin}, n_resamples=10, layers=["late"]
    )
    assert abs(row(encoding, layer="late", control="shuffled")["mean"]) < 0.25  # 30 images, 6 voxels: SE .075
    assert np.isnan(row(encoding, layer="late", control="shuffled")["ceiling_share"])
    assert encoding.fits[FitKey("net", "subject", "ridge", "late", "shuffled")].selection.mean() < 0.1
    assert abs(row(encoding, layer="late", control="random")["mean"]) < 0.25
    assert row(encoding, layer="late", roi="V4")["mean"] > 0.7
    with pytest.raises(ValueError, match="twins="):
        encode(layers, dataset, controls=["random"])
    with pytest.raises(ValueError, match="controls are among"):
        encode(layers, dataset, controls=["shuffle"])


def test_methods_over_all_layers_and_token_maps(dataset, rng):
    tokens = Tokens(
        {k: torch.randn(N, 3, 4, 4, generator=rng) for k in "ab"}, {k: torch.randn(N, 3, generator=rng) for k in "ab"}
    )
    store = TokenStore.from_tokens([tokens], dataset.image_ids, dtype=torch.float32)
    methods = {
        "window": WindowRidgeCV(centres=(-0.5, 0.5), widths=(0.3,)),
        "banded": BandedRidgeCV(n_iter=3),
        "lasso": LinearRegressionCV("lasso"),
    }
    encoding = encode({"net": store}, dataset, methods=methods, pool="mean", n_resamples=10)
    keys = {(key.method, key.layer) for key in encoding.fits}
    assert keys == {("window", "all"), ("banded", "all"), ("lasso", "a"), ("lasso", "b"), ("lasso", "best")}
    train, test = torch.arange(90), torch.arange(90, N)
    fit = WindowRidgeCV(centres=(-0.5, 0.5), widths=(0.3,)).fit(store.tokens(train), dataset.responses[train])
    found = encoding.fits[FitKey("net", "subject", "window", "all")]
    torch.testing.assert_close(found.predictions["test"], fit.predict(store.tokens(test)), rtol=0, atol=1e-5)
    assert found.details["position"].shape == (VOXELS, 2)
    banded = encoding.fits[FitKey("net", "subject", "banded", "all")]
    assert banded.details["spaces"].tolist() == ["a", "b"]
    predicted, response = banded.predictions["test"], dataset.responses[test]
    total = scores.r2(predicted - predicted.mean(0) + response.mean(0), response)  # a wrong mean is no space's share
    np.testing.assert_allclose(banded.details["r2_split_test"].sum(0), total, atol=1e-5)
    with pytest.raises(ValueError, match="TokenStore"):
        encode({"a": np.zeros((N, 3))}, dataset, methods=["window"])


def test_finished_jobs_are_not_run_again_unless_their_data_changed(layers, dataset, tmp_path, monkeypatch):
    ran = []
    fit = RidgeCV.fit
    monkeypatch.setattr(RidgeCV, "fit", lambda self, X, Y, groups=None: ran.append(1) or fit(self, X, Y, groups))
    first = encode(layers, dataset, out=tmp_path, n_resamples=10)
    assert len(ran) == 2
    again = encode(layers, dataset, out=tmp_path, n_resamples=10)
    assert len(ran) == 2
    assert again.table.equals(first.table)
    next((tmp_path / "jobs").glob("*early*.npz")).unlink()  # as if it had been interrupted
    encode(layers, dataset, out=tmp_path, n_resamples=10)
    assert len(ran) == 3
    encode(layers, dataset, methods={"ridge": RidgeCV(scoring="r2", cv="loo")}, out=tmp_path, n_resamples=10)
    assert len(ran) == 5
    dataset.responses[0, 0] += 1
    encode(layers, dataset, methods={"ridge": RidgeCV(scoring="r2", cv="loo")}, out=tmp_path, n_resamples=10)
    assert len(ran) == 7


def count_fits(monkeypatch, kind=RidgeCV):
    ran, fit = [], kind.fit
    monkeypatch.setattr(kind, "fit", lambda self, X, Y, groups=None: ran.append(1) or fit(self, X, Y, groups))
    return ran


def test_a_change_in_any_row_of_the_features_runs_a_job_again(tmp_path, monkeypatch):
    """With 200 images, and one number changed in one of them."""
    rng = np.random.default_rng(0)
    x, y, splits = rng.normal(size=(200, 3)), rng.normal(size=(200, 2)), {"train": range(150), "test": range(150, 200)}
    data = ResponseDataset([str(i) for i in range(200)], y, BrainSpace.free(2), splits)
    ran = count_fits(monkeypatch)
    for expected, place in ((1, None), (2, 1), (3, 197), (4, 199)):
        if place is not None:
            x[place, 1] += 1
        encode({"a": x}, data, out=tmp_path, n_resamples=2)
        encode({"a": x.copy()}, data, out=tmp_path, n_resamples=2)
        assert len(ran) == expected


def test_other_tokens_of_the_same_images_run_a_job_again(dataset, tmp_path, rng, monkeypatch):
    """A store of tokens that were given, or transformed by some function, has no fingerprint that tells them apart."""
    ran = count_fits(monkeypatch)
    local = torch.randn(N, 3, 2, 2, generator=rng)
    stores = [
        TokenStore.from_tokens([Tokens({"a": x}, {"a": x.mean((2, 3))})], dataset.image_ids)
        for x in (local, local.flip(0))
    ]
    stores += [stores[0].transformed(lambda t, f=f: t.map(lambda v: v * f + f)) for f in (2, 3)]
    for store in stores:
        again = encode(store, dataset, out=tmp_path, n_resamples=2)
    fresh = encode(store, dataset, n_resamples=2)
    assert len(ran) == 5
    assert row(again, layer="a")["mean"] == row(fresh, layer="a")["mean"]
    encode(store, dataset, out=tmp_path, n_resamples=2)
    assert len(ran) == 5


def test_a_long_parameter_of_an_estimator_is_read_to_its_end(layers, dataset, tmp_path, monkeypatch):
    ran = count_fits(monkeypatch)
    alphas = np.logspace(-3, 3, 1200)  # a repr of it names the first and last three
    encode(layers, dataset, layers=["late"], methods={"r": RidgeCV(alphas)}, out=tmp_path, n_resamples=2)
    encode(layers, dataset, layers=["late"], methods={"r": RidgeCV(alphas.copy())}, out=tmp_path, n_resamples=2)
    assert len(ran) == 1
    alphas[600] = 1e9
    encode(layers, dataset, layers=["late"], methods={"r": RidgeCV(alphas)}, out=tmp_path, n_resamples=2)
    assert len(ran) == 2


@pytest.mark.parametrize("pool", [("mean", "flatten"), ("flatten", "global")])
def test_pool_and_training_splits_belong_to_a_job(dataset, tmp_path, rng, monkeypatch, pool):
    ran = count_fits(monkeypatch)
    local, global_ = torch.randn(N, 3, 2, 2, generator=rng), torch.randn(N, 3, generator=rng)
    store = TokenStore.from_tokens([Tokens({"a": local}, {"a": global_})], dataset.image_ids)
    for number, (which, train) in enumerate(((0, ("train", "val")), (1, ("train", "val")), (1, ("train",)))):
        options = {"pool": pool[which], "train": train, "n_resamples": 2}
        kept = encode(store, dataset, out=tmp_path, **options)
        assert len(ran) == 2 * number + 1
        pd.testing.assert_frame_equal(kept.table, encode(store, dataset, **options).table)


def test_other_splits_of_the_same_sizes_run_a_job_again(layers, dataset, tmp_path, monkeypatch):
    ran = count_fits(monkeypatch)
    encode(layers, dataset, out=tmp_path, n_resamples=5)
    moved = [*range(1, 80), 90], range(80, 90), [0, *range(91, N)]
    dataset.splits = {
        name: torch.tensor(list(rows)) for name, rows in zip(("train", "val", "test"), moved, strict=True)
    }
    encode(layers, dataset, out=tmp_path, n_resamples=5)
    assert len(ran) == 4


def test_a_method_over_all_layers_runs_again_for_other_layers(dataset, tmp_path, rng):
    """Of one store: its fingerprint is the same whatever layers are read."""
    local = {layer: torch.randn(N, 4, 2, 2, generator=rng) for layer in ("early", "late")}
    tokens = Tokens(local, {layer: maps.mean((2, 3)) for layer, maps in local.items()})
    store = TokenStore.from_tokens([tokens], dataset.image_ids, fingerprint={"weights": "1", "images": "2"})
    options = {"methods": {"banded": BandedRidgeCV(n_iter=5)}, "n_resamples": 5}
    both = encode(store, dataset, out=tmp_path, **options)
    one = encode(store, dataset, layers=["late"], out=tmp_path, **options)
    assert one.table.equals(encode(store, dataset, layers=["late"], **options).table)
    assert not one.table.equals(both.table)


def test_a_broken_job_file_is_run_again(layers, dataset, tmp_path, caplog):
    first = encode(layers, dataset, out=tmp_path, n_resamples=2)
    files = sorted((tmp_path / "jobs").glob("*.npz"))
    files[0].write_bytes(files[0].read_bytes()[:300])
    files[1].write_bytes(b"")
    again = encode(layers, dataset, out=tmp_path, n_resamples=2)
    pd.testing.assert_frame_equal(first.table, again.table)
    assert caplog.text.count("is damaged and is made again") == 2


@pytest.mark.parametrize("backend", ["threading", "loky", "multiprocessing", "dask"])
def test_jobs_run_where_joblibs_backend_says_and_give_the_same_table(layers, dataset, tmp_path, monkeypatch, backend):
    monkeypatch.chdir(tmp_path)
    methods = {"ridge": RidgeCV(scoring="r2"), "where": Whereabouts()}
    serial = encode(layers, dataset, methods=methods, n_resamples=10)
    here = serial.fits[FitKey("model", "subject", "where", "early")].predictions["test"]
    with workers(backend), joblib.parallel_config(backend, n_jobs=2):
        parallel = encode(layers, dataset, methods=methods, n_resamples=10, out="out")
    there = parallel.fits[FitKey("model", "subject", "where", "early")].predictions["test"]
    assert not torch.equal(there, here)
    ridge = [encoding.table[encoding.table["method"] == "ridge"] for encoding in (parallel, serial)]
    assert len(ridge[0]) == 54  # 2 layers and the best one, 3 regions, 6 scores
    pd.testing.assert_frame_equal(*ridge)


@contextlib.contextmanager
def workers(backend):
    """Two processes of dask, which stand in another folder as those of another machine would."""
    if backend != "dask":
        yield
        return
    distributed = pytest.importorskip("distributed", reason="pip install distributed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(os.chdir, "/")
        yield


def test_predictions_kept_in_a_relative_folder_are_found_from_elsewhere(layers, dataset, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    encoding = encode(layers, dataset, n_resamples=2, out="out")
    monkeypatch.chdir("/")
    assert encoding.voxel_scores(FitKey("model", "subject", "ridge", BEST_LAYER)).shape == (VOXELS,)


def test_features_of_other_images_are_refused(layers, dataset):
    ids = list(dataset.image_ids)
    encode({**layers, "image_ids": ids}, dataset, n_resamples=5)
    ids[7], ids[8] = ids[8], ids[7]
    with pytest.raises(ValueError, match="row 7 is 'image 8' there and 'image 7' here"):
        encode({**layers, "image_ids": ids}, dataset)
    with pytest.raises(ValueError, match="row 119 is 'nothing' there"):
        encode({**layers, "image_ids": dataset.image_ids[:-1]}, dataset)
    with pytest.raises(ValueError, match="50 rows of features"):
        encode({"early": layers["early"][:50]}, dataset)
    with pytest.raises(ValueError, match=r"no layers \['middle'\]. Known: early, late"):
        encode(layers, dataset, layers=["middle"])
    with pytest.raises(ValueError, match=r"Unknown method 'lasso'\. Known"):
        encode(layers, dataset, methods=["lasso"])
    with pytest.raises(ValueError, match="to train on"):
        encode(layers, dataset, train=("train", "val", "test"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"train": ("train", "vall")}, r"each once, in a list; got \('train', 'vall'\). Known: train, val, test"),
        ({"train": ("train", "train")}, "each once"),  # twice the same image would be in both halves of a fold
        ({"train": "train"}, "in a list"),
        ({"layers": []}, "model has no layers to fit"),
        ({"layers": {"modle": ["early"]}}, "layers names 'modle', which is no model here. Known: model"),
        ({"n_resamples": 0}, "n_resamples must be at least 1"),
        ({"methods": {}}, "No method was named"),
    ],
)
def test_mistakes_are_said(layers, dataset, options, message):
    with pytest.raises(ValueError, match=message):
        encode(layers, dataset, **options)


def test_names_that_mean_something_in_the_table_are_refused(layers, dataset):
    """A layer "all" was fitted as the first layer; a ROI "all" took the place of every voxel."""
    for name in ("all", "best"):
        with pytest.raises(ValueError, match=f"has a layer '{name}'"):
            encode({**layers, name: layers["late"]}, dataset)
    dataset.space.rois["all"] = torch.arange(VOXELS) < 2
    with pytest.raises(ValueError, match="a ROI named 'all'"):
        encode(layers, dataset)
    with pytest.raises(TypeError, match="method 'a' must be an estimator"):
        encode(layers, dataset, methods={"a": 3})
    with pytest.raises(ValueError, match="nothing to fit"):
        encode(layers, {})
    with pytest.warns(UserWarning, match="are constant"):
        still = ResponseDataset(dataset.image_ids, np.ones((N, 7)), BrainSpace.free(7), SPLITS)
    with pytest.raises(ValueError, match="no voxel of subject can be scored: all 7"):
        encode(layers, still)


def test_a_twin_that_is_the_network_itself_is_no_control(layers, dataset):
    with pytest.raises(ValueError, match="it is no control"):
        encode({"net": layers}, dataset, controls=["random"], twins={"net": layers})
    with pytest.raises(ValueError, match="twins names 'other'"):
        encode({"net": layers}, dataset, controls=["random"], twins={"other": layers})


def test_a_test_split_of_one_image_is_refused_before_any_fit(layers, dataset, monkeypatch):
    ran = count_fits(monkeypatch)
    dataset.splits["sketch"] = dataset.splits["test"][:1]
    with pytest.raises(ValueError, match="'sketch' of subject has one image"):
        encode(layers, dataset)
    assert not ran


def test_no_layer_is_called_best_where_nothing_was_cross_validated(layers, dataset):
    from sklearn.linear_model import Ridge

    encoding = encode(layers, dataset, methods={"plain": Ridge()}, n_resamples=2)
    assert {key.layer for key in encoding.fits} == {"early", "late"}
    assert row(encoding, layer="late", roi="V4")["mean"] > 0.7


def test_each_subject_keeps_its_own_responses_and_features(layers, dataset):
    """Two subjects with swapped layers: the swap shows in the rows of the second one alone."""
    swapped = {"early": layers["late"], "late": layers["early"]}
    other = subject(dataset.responses.flip(1), noise_ceiling=np.full(VOXELS, 0.8))
    together = encode({"net": {"s1": layers, "s2": swapped}.__getitem__}, {"s1": dataset, "s2": other}, n_resamples=5)
    alone = encode({"net": swapped}, {"s2": other}, n_resamples=5).table
    both = together.table
    pd.testing.assert_frame_equal(
        both[(both["subject"] == "s2") & (both["model"] == "net")].reset_index(drop=True),
        alone[alone["model"] == "net"].reset_index(drop=True),
    )


def test_shuffled_responses_are_permuted_voxel_by_voxel_and_scored_as_they_were_fitted(layers, dataset):
    encoding = encode(layers, dataset, controls=["shuffled"], seed=5, n_resamples=5, layers=["late"])
    shown = dataset.shuffled(5).responses
    expected = RidgeCV(scoring="r2").fit(layers["late"][:90], shown[:90].numpy()).predict(layers["late"][90:])
    key = FitKey("model", "subject", "ridge", "late", "shuffled")
    np.testing.assert_allclose(encoding.fits[key].predictions["test"], expected, atol=1e-5)
    r = scores.pearson_r(torch.as_tensor(expected), shown[90:]).mean().item()
    assert row(encoding, layer="late", control="shuffled")["mean"] == pytest.approx(r, abs=1e-6)
    with pytest.raises(ValueError, match="same responses of one subject"):
        encoding.difference(key, key._replace(control=""))


def test_shuffled_responses_are_those_of_each_subject(layers, dataset):
    other = subject(dataset.responses.flip(1))
    encoding = encode(
        {"net": {"s1": layers, "s2": layers}.__getitem__}, {"s1": dataset, "s2": other}, controls=["shuffled"],
        layers=["late"], n_resamples=5,
    )  # fmt: skip
    for name, data in (("s1", dataset), ("s2", other)):
        prediction = encoding.fits[FitKey("net", name, "ridge", "late", "shuffled")].predictions["test"]
        r = scores.pearson_r(prediction, data.shuffled(0).responses[90:]).mean().item()
        assert row(encoding, subject=name, layer="late", control="shuffled")["mean"] == pytest.approx(r, abs=1e-6)


def test_best_layers_are_those_of_the_network_and_not_of_its_controls(layers, dataset):
    encoding = encode(layers, dataset, controls=["shuffled"], n_resamples=5)
    for layer, selection in encoding.layer_scores("model", "subject").items():
        assert torch.equal(selection, encoding.fits[FitKey("model", "subject", "ridge", layer)].selection)
    assert encoding.best_layers("model", "subject")[0].tolist() == [0, 0, 1, 1, 1, 1]


def test_r2_is_compared_with_the_square_of_the_ceiling(layers, dataset):
    # the third is between the floor and its root: under neither, once the floor of r2 is squared too
    dataset.noise_ceiling = torch.tensor([0.05, 0.9, 0.2, 0.7, torch.nan, 0.6])
    encoding = encode(layers, dataset, n_resamples=5)
    for score, power in (("r", 1), ("r2", 2)):
        values = encoding.voxel_scores(FitKey("model", "subject", "ridge", "late"), score=score)
        found = row(encoding, layer="late", score=score)
        known = torch.tensor([1, 2, 3, 5])  # the first is under the floor, the fifth unknown
        share = (values / dataset.noise_ceiling.double() ** power)[known].mean().item()
        assert found["ceiling_share"] == pytest.approx(share, abs=1e-6)
        assert found["n_under_floor"] == 1
        assert found["ceiling"] == pytest.approx((dataset.noise_ceiling.double() ** power).nanmean().item())
        assert row(encoding, method=NOISE_CEILING, score=score)["n_under_floor"] == 1


def test_nan_and_constant_voxels_are_counted_and_left_out(layers, dataset):
    dataset.responses[3, 0], dataset.responses[:, 1] = torch.nan, 4.0
    with pytest.warns(UserWarning, match="1 of 6 voxels"):
        encoding = encode(layers, dataset, n_resamples=10)
    found = row(encoding, layer="late")
    assert (found["n_voxels"], found["n_excluded"]) == (4, 2)
    assert np.isfinite([found["mean"], found["low"], found["high"]]).all()
    assert np.isnan(row(encoding, layer="late", roi="V1")["mean"])


def test_fits_are_compared_on_the_same_images(layers, dataset):
    encoding = encode(layers, dataset, n_resamples=200)
    early, late = (FitKey("model", "subject", "ridge", layer) for layer in ("early", "late"))
    found = encoding.difference(late, early)
    assert (found.test.p_fdr[2:] < 0.05).all()
    assert (found.test.statistic[:2] < 0).all()
    assert found.mean.mean == pytest.approx(row(encoding, layer="late")["mean"] - row(encoding, layer="early")["mean"])
    significant = encoding.significance(late, n_permutations=200).p_fdr < 0.05
    assert significant[2:].all()
    with pytest.raises(ValueError, match="was not fitted"):
        encoding.significance(early._replace(layer="middle"))


def test_a_difference_and_its_interval_are_of_the_same_voxels(dataset):
    """One fit has no prediction for three of the voxels: these are left out on both sides."""
    rng = np.random.default_rng(3)
    response = dataset.responses[dataset.splits["test"]]
    a = response + torch.from_numpy(rng.normal(size=response.shape)).float()
    b = a.clone()
    a[:, 3:] = torch.nan
    b[:, 3:] = torch.from_numpy(rng.normal(size=(len(b), 3)))
    encoding = Encoding({"subject": dataset}, n_resamples=50)
    keys = [FitKey("net", "subject", name, "all") for name in "ab"]
    for key, prediction in zip(keys, (a, b), strict=True):
        encoding.add(key, Fit({"test": prediction}, torch.full((VOXELS,), torch.nan)))
    assert encoding.difference(*keys).mean == (0, 0, 0)
    with pytest.raises(ValueError, match="no split 'val' of .* Known: test"):
        encoding.difference(*keys, split="val")
    with pytest.raises(ValueError, match="no score 'pearson' of .* Known: r, r2"):
        encoding.voxel_scores(keys[0], score="pearson")


def test_predictions_made_elsewhere_join_the_table(dataset):
    encoding = Encoding({"subject": dataset}, n_resamples=10)
    perfect = Fit({"test": dataset.responses[dataset.splits["test"]]}, torch.full((VOXELS,), torch.nan))
    key = FitKey("clip", "subject", "FactorTopy", "all")
    encoding.add(key, perfect)
    assert row(encoding, method="FactorTopy")["mean"] == pytest.approx(1)
    assert row(encoding, method="FactorTopy")["ceiling_share"] == pytest.approx(1 / 0.9)  # never clipped
    with pytest.raises(ValueError, match="already"):
        encoding.add(key, perfect)
    with pytest.raises(ValueError, match="Unknown subject"):
        encoding.add(key._replace(subject="other"), perfect)


@pytest.mark.parametrize("place", ["surface", "volume", "none"])
def test_everything_is_saved(layers, dataset, tmp_path, place):
    import nibabel

    if place == "surface":
        dataset.space = BrainSpace(
            coords=None, rois={}, vertices=torch.arange(VOXELS) * 2000, mesh="fsaverage5", n_voxels=VOXELS
        )
    elif place == "volume":
        mask = torch.zeros(2, 2, 2, dtype=torch.bool)
        mask.view(-1)[:VOXELS] = True
        dataset.space = BrainSpace(coords=None, rois={}, mask=mask, affine=torch.eye(4), n_voxels=VOXELS)
    encoding = encode(layers, dataset, n_resamples=10, layers=["late"])
    table = encoding.save(tmp_path)
    assert table.read_text().startswith("model,subject,method,layer")
    file = next((tmp_path / "voxels").glob("*late*.npz"))
    with np.load(file, allow_pickle=False) as saved:
        expected = encoding.fits[FitKey("model", "subject", "ridge", "late")].predictions["test"]
        r = scores.pearson_r(expected, dataset.responses[90:])
        np.testing.assert_allclose(saved["r_test"], r)
        assert saved["best_alphas"].shape == (VOXELS,)
    maps = sorted(path.suffix for path in (tmp_path / "voxels").glob("*late*") if path.suffix != ".npz")
    assert maps == {"surface": [".gii", ".gii"], "volume": [".gz"], "none": []}[place]
    if place == "surface":
        left = nibabel.load(next((tmp_path / "voxels").glob("*late*.L.func.gii"))).darrays[0].data
        np.testing.assert_allclose(left[2000], r[1], rtol=1e-6)


def test_layers_with_a_dot_in_their_names_keep_files_of_their_own(layers, dataset, tmp_path):
    mask = torch.zeros(2, 2, 2, dtype=torch.bool)
    mask.view(-1)[:VOXELS] = True
    dataset.space = BrainSpace(coords=None, rois={}, mask=mask, affine=torch.eye(4), n_voxels=VOXELS)
    dotted = {"features.3": layers["early"], "features.4": layers["late"]}
    encode(dotted, dataset, n_resamples=5).save(tmp_path)
    names = [path.name for path in (tmp_path / "voxels").iterdir()]
    assert len([name for name in names if name.endswith(".npz")]) == 3  # two layers and the best one
    assert len([name for name in names if name.endswith(".nii.gz")]) == 3


def test_further_splits_are_predicted_scored_and_saved_under_their_names(layers, dataset, tmp_path):
    """The first half of the test images as "sketches": their rows are the scores of exactly these images."""
    whole = encode(layers, dataset, n_resamples=10, layers=["late"])
    splits = {"train": range(80), "val": range(80, 90), "sketches": range(90, 105), "test": range(105, N)}
    parted = ResponseDataset(dataset.image_ids, dataset.responses, dataset.space, splits, noise_ceiling=np.full(6, 0.9))
    encoding = encode({"net": layers}, parted, n_resamples=10, layers={"net": ["late"]})
    key = FitKey("net", "subject", "ridge", "late")
    prediction = whole.fits[key._replace(model="model")].predictions["test"]
    torch.testing.assert_close(encoding.fits[key].predictions["sketches"], prediction[:15])
    r = scores.pearson_r(prediction[:15], dataset.responses[90:105])
    assert row(encoding, layer="late", split="sketches")["mean"] == pytest.approx(r.mean().item(), abs=1e-6)
    assert np.isnan(row(encoding, layer="late", split="sketches")["ceiling"])  # repeats were of the test images
    encoding.save(tmp_path)
    with np.load(next((tmp_path / "voxels").glob("*late*.npz")), allow_pickle=False) as saved:
        np.testing.assert_allclose(saved["r_sketches"], r, atol=1e-6)


def test_noise_ceilings_have_rows_of_their_own(layers, dataset):
    dataset.noise_ceiling = torch.tensor([0.05, 0.9, 0.5, 0.7, torch.nan, 0.6])
    encoding = encode(layers, dataset, n_resamples=10)
    for score, of in (("r", lambda x: x), ("r2", np.square)):
        found = row(encoding, method=NOISE_CEILING, roi="V4", score=score)
        assert found["mean"] == pytest.approx(of(np.array([0.5, 0.7, 0.6])).mean(), abs=1e-6)
        assert (found["n_voxels"], found["n_excluded"], found["n_under_floor"]) == (3, 1, 0)
        assert row(encoding, method=NOISE_CEILING, roi="V1", score=score)["n_under_floor"] == 1


def test_further_splits_are_held_against_their_own_ceiling(layers, dataset, tmp_path):
    splits = {"train": range(80), "test": range(80, 100), "sketches": range(100, 120), "photos": []}
    ceilings = {"sketches": np.linspace(0.5, 1, VOXELS), "photos": np.ones(VOXELS)}
    further = ResponseDataset(dataset.image_ids, dataset.responses, dataset.space, splits,
                              noise_ceiling=np.full(VOXELS, 0.9), further_ceilings=ceilings)  # fmt: skip
    encoding = encode(layers, further, layers=["late"], n_resamples=5)
    key = FitKey("model", "subject", "ridge", "late")
    found = row(encoding, layer="late", split="sketches")
    assert found["ceiling"] == pytest.approx(0.75)
    share = encoding.voxel_scores(key, "sketches") / torch.linspace(0.5, 1, VOXELS, dtype=torch.float64)
    assert found["ceiling_share"] == pytest.approx(share.mean().item())
    assert row(encoding, method=NOISE_CEILING, split="sketches")["mean"] == pytest.approx(0.75)
    assert row(encoding, method=NOISE_CEILING)["mean"] == pytest.approx(0.9)
    assert set(encoding.table["split"]) == {"test", "sketches"}
    encoding.save(tmp_path)
    with np.load(next((tmp_path / "voxels").glob("*late*.npz")), allow_pickle=False) as saved:
        np.testing.assert_allclose(saved["ceiling_sketches"], ceilings["sketches"], rtol=1e-6)
        np.testing.assert_allclose(saved["ceiling"], 0.9, rtol=1e-6)


@pytest.mark.parametrize(
    ("ceilings", "message"),
    [
        ({"sketch": np.ones(VOXELS)}, "names 'sketch', which is no further split. Known: sketches"),
        ({"test": np.ones(VOXELS)}, "names 'test', which is no further split"),
        ({"sketches": np.ones(2)}, r"the noise ceiling of 'sketches' must be \(6,\)"),
        ({"sketches": np.full(VOXELS, 50.0)}, r"the noise ceiling of 'sketches' is a Pearson r in \[0, 1\]"),
    ],
)
def test_wrong_ceilings_of_further_splits_are_refused(dataset, ceilings, message):
    splits = {"train": range(80), "test": range(80, 100), "sketches": range(100, 120)}
    with pytest.raises(ValueError, match=message):
        ResponseDataset(dataset.image_ids, dataset.responses, dataset.space, splits, further_ceilings=ceilings)


def test_tests_that_were_made_are_saved(layers, dataset, tmp_path):
    encoding = encode(layers, dataset, n_resamples=5, layers=["late"])
    test = encoding.significance(FitKey("model", "subject", "ridge", "late"), n_permutations=50)
    encoding.save(tmp_path)
    with np.load(next((tmp_path / "voxels").glob("*late*.npz")), allow_pickle=False) as saved:
        np.testing.assert_array_equal(saved["p_fdr_r_test"], test.p_fdr)


@pytest.mark.slow
def test_noise_is_rarely_significant_and_equal_models_rarely_differ():
    """Fits to noise: no voxel at FDR .05 beyond Monte-Carlo error; two models of one signal differ in 3 to 7 %."""
    rng = np.random.default_rng(0)
    n_sets, false_sets, differing = 250, 0, []
    for _ in range(n_sets):
        signal = rng.normal(size=(N, VOXELS))
        views = {name: signal + 0.7 * rng.normal(size=(N, VOXELS)) for name in ("a", "b")}
        noise = encode(views, subject(rng.normal(size=(N, VOXELS))), n_resamples=2)
        key = FitKey("model", "subject", "ridge", "a")
        false_sets += (noise.significance(key, n_permutations=300).p_fdr <= 0.05).any().item()
        real = encode(views, subject(signal + rng.normal(size=(N, VOXELS))), n_resamples=300)
        differing.append(real.difference(key, key._replace(layer="b")).test.p <= 0.05)
    assert false_sets / n_sets <= 0.05 + 2.6 * (0.05 * 0.95 / n_sets) ** 0.5  # Monte-Carlo error: .036
    rate = torch.cat(differing).double().mean().item()
    assert 0.03 <= rate <= 0.07  # 1,500 voxels: 3.5 standard errors
