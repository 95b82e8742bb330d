"""Steps on rows: scikit-learn's own numbers, learned in pieces from training rows alone, kept for new pictures."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.random_projection import SparseRandomProjection, johnson_lindenstrauss_min_dim

from brainnet.features import steps
from brainnet.features.steps import Chain, _pieces, load_chain, parse_steps

N, WIDTH = 40, 30
ROWS = np.random.default_rng(0).normal(size=(N, WIDTH)).astype(np.float32) @ np.diag(np.linspace(3, 0.1, WIDTH))
ROWS = (ROWS + 5).astype(np.float32)


def run(words, rows=ROWS, train=slice(None), batch=7, seed=0):
    """Chain and result, the rows coming in batches."""
    chain = Chain(parse_steps(words, seed))
    first = np.concatenate([chain.early(rows[i : i + batch], len(rows)) for i in range(0, len(rows), batch)])
    chain.learn(lambda: (first[train][i : i + batch] for i in range(0, len(first[train]), batch)),
                first.shape[1], len(first[train]))  # fmt: skip
    return chain, chain.late(first)


def test_a_random_projection_is_scikit_learns():
    _, found = run("srp:8", seed=3)
    expected = SparseRandomProjection(8, random_state=3).fit(ROWS).transform(ROWS)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    assert found.dtype == np.float32
    assert not np.allclose(run("srp:8", seed=4)[1], found)


def test_its_default_width_is_that_of_johnson_and_lindenstrauss_and_narrow_layers_stay():
    wide = np.zeros((2, 9000), np.float32)
    assert run("srp", wide)[1].shape[1] == johnson_lindenstrauss_min_dim(2, eps=0.1)
    assert np.array_equal(run("srp")[1], ROWS)
    assert np.array_equal(run("srp:30")[1], ROWS)


def test_a_projection_does_not_depend_on_the_batch():
    assert np.array_equal(run("srp:8", batch=1)[1], run("srp:8", batch=40)[1])


@pytest.mark.parametrize("block", [32 << 20, 4 * WIDTH * 13])
def test_principal_components_are_those_of_the_training_rows(monkeypatch, block):
    monkeypatch.setattr(steps, "BLOCK", block)
    train = slice(0, 29)
    chain, found = run("pca:5", train=train)
    model = PCA(5, svd_solver="full").fit(ROWS[train].astype(float))
    expected = model.transform(ROWS)
    exact = block > 4 * ROWS.size
    close = np.abs([np.corrcoef(found[:, k], expected[:, k])[0, 1] for k in range(5 if exact else 2)])
    assert close.min() > (1 - 1e-6 if exact else 0.98)  # beyond one piece it is an approximation
    if exact:
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
        np.testing.assert_allclose(chain.steps[0].arrays["share"], model.explained_variance_ratio_, rtol=1e-5)
    changed = ROWS.copy()
    changed[29:] *= 7
    assert np.array_equal(run("pca:5", changed, train)[1][:29], found[:29])  # the others were not learned from


def test_a_step_learns_from_what_the_steps_before_it_give():
    found = run("center+normalize+pca:2", train=slice(0, 30))[1]
    before = run("center+normalize", train=slice(0, 30))[1].astype(float)
    expected = PCA(2, svd_solver="full").fit(before[:30]).transform(before)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def test_rows_come_in_pieces_none_of_which_is_too_small():
    blocks = [ROWS[i : i + 7] for i in range(0, N, 7)]
    for at_least, sizes in ((1, [14, 14, 12]), (13, [14, 26])):
        pieces = list(_pieces(blocks, 14, at_least))
        assert [len(piece) for piece in pieces] == sizes
        np.testing.assert_array_equal(np.concatenate(pieces), ROWS)


def test_more_components_than_training_rows_are_not_asked_for():
    assert run("pca", train=slice(0, 6))[1].shape == (N, 6)


def test_center_and_normalize_leave_their_input_as_it_is():
    before = ROWS.copy()
    found = run("center+normalize", train=slice(0, 10))[1]
    centered = ROWS.astype(float) - ROWS[:10].astype(float).mean(0)
    np.testing.assert_allclose(found, centered / np.linalg.norm(centered, axis=1, keepdims=True), rtol=1e-4, atol=1e-6)
    assert np.array_equal(ROWS, before)
    assert np.array_equal(run("normalize", np.zeros((3, 4), np.float32))[1], np.zeros((3, 4)))


def transform(path, bias=True):
    rng = np.random.default_rng(1)
    arrays = {"mean": rng.normal(size=WIDTH), "std": rng.uniform(1, 2, WIDTH), "weights": rng.normal(size=(WIDTH, 4))}
    np.savez(path, **arrays, **({"bias": rng.normal(size=4)} if bias else {}))
    return (ROWS - arrays["mean"]) / arrays["std"] @ arrays["weights"] + (np.load(path)["bias"] if bias else 0)


@pytest.mark.parametrize("bias", [True, False])
def test_alignment_by_a_local_transform(tmp_path, bias):
    expected = transform(tmp_path / "transform.npz", bias)
    np.testing.assert_allclose(run(f"glocal:{tmp_path / 'transform.npz'}")[1], expected, rtol=1e-4, atol=1e-4)


def test_a_published_transform_lies_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    (tmp_path / "glocal" / "clip_RN50" / "visual").mkdir(parents=True)
    expected = transform(tmp_path / "glocal" / "clip_RN50" / "visual" / "transform.npz")
    np.testing.assert_allclose(run("glocal:clip_RN50/visual")[1], expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("words", ["srp:8", "pca:4", "center", "srp:12+center+pca:3+normalize", "srp"])
def test_kept_steps_do_the_same_to_new_rows(tmp_path, words):
    chain, found = run(words, train=slice(0, 25), seed=2)
    chain.save(tmp_path / "a.steps.npz", "layer")
    layer, again = load_chain(tmp_path / "a.steps.npz")
    assert layer == "layer"
    new = np.concatenate([again.late(again.early(row[None], N)) for row in ROWS[25:]])
    np.testing.assert_allclose(new, found[25:], rtol=1e-4, atol=1e-5)
    if words != "srp":
        _, again = load_chain(tmp_path / "a.steps.npz")
        with pytest.raises(ValueError, match="30 features"):
            again.early(ROWS[:, :20], N)


@pytest.mark.parametrize(
    ("words", "message"),
    [("spr", "srp"), ("pca:0", "from 1"), ("pca:x", "pca:x"), ("glocal", "transform"), ("pca:3+umap", "umap")],
)
def test_bad_words_are_told(words, message):
    with pytest.raises(ValueError, match=message):
        run(words)


def test_a_transform_of_another_width_is_refused(tmp_path):
    transform(tmp_path / "transform.npz")
    with pytest.raises(ValueError, match="width 30.*10"):
        run(f"glocal:{tmp_path / 'transform.npz'}", ROWS[:, :10])
    np.savez(tmp_path / "other.npz", mean=np.zeros(3))
    with pytest.raises(ValueError, match="std, weights"):
        run(f"glocal:{tmp_path / 'other.npz'}")


def test_a_damaged_file_of_steps_is_not_believed(tmp_path):
    chain = run("center")[0]
    chain.save(tmp_path / "a.steps.npz", "layer")
    raw = bytearray((tmp_path / "a.steps.npz").read_bytes())
    raw[raw.index(chain.steps[0].arrays["mean"].tobytes())] ^= 1
    (tmp_path / "a.steps.npz").write_bytes(raw)
    with pytest.raises(ValueError, match="damaged"):
        load_chain(tmp_path / "a.steps.npz")
