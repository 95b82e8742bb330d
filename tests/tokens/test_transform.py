"""The affine map before a read-out: its moments, its components, and what never varies."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brainnet.tokens import RunningMoments, Tokens, TokenTransform
from tests.tokens.toys import make_tokens, split


def awkward_tokens(rng, n=40):
    """Channels of very different size and mean, correlated, one of them dead."""
    mixing = torch.randn(6, 6, generator=rng)
    offset, dead = 1000 * torch.randn(6, generator=rng), torch.tensor([1.0, 1, 0, 1, 1, 1])
    local = torch.einsum("dc,bchw->bdhw", mixing, torch.randn(n, 6, 4, 5, generator=rng))
    shape = lambda v: v[:, None, None]  # noqa: E731
    return Tokens(
        {"a.1": local * shape(dead * 10.0 ** torch.arange(-3, 3)) + shape(offset)},
        {"a.1": 3 * torch.randn(n, 6, generator=rng) * dead + offset},
    )


def test_standardised_channels_have_mean_zero_and_sd_one(rng):
    tokens = awkward_tokens(rng)
    transform = TokenTransform.fit(split(tokens, 7), ["a.1"])
    out = transform(tokens)
    for values in (out.local["a.1"].flatten(2).transpose(1, 2).flatten(0, 1), out.global_["a.1"]):
        sd = values.std(0, correction=0)
        torch.testing.assert_close(sd[[0, 1, 3, 4, 5]], torch.ones(5), rtol=1e-2, atol=0)  # float32 tokens around 1000
        assert sd[2] == 0  # a dead channel stays dead
    assert transform.layer_widths == ((6, 6),)


@pytest.mark.parametrize("whiten", [False, True])
def test_principal_components_match_a_direct_decomposition(rng, whiten):
    tokens = make_tokens(rng, ("x",), (6,), batch=50, dtype=torch.float64)
    tokens.local["x"][:, 3] += 2 * tokens.local["x"][:, 1]
    out = TokenTransform.fit(split(tokens, 20), ["x"], pca=3, whiten=whiten)(tokens).local["x"].double()
    rows = lambda t: t.flatten(2).transpose(1, 2).flatten(0, 1)  # noqa: E731
    z = rows(tokens.local["x"])
    z = (z - z.mean(0)) / z.std(0, correction=0)
    u, s, _ = torch.linalg.svd(z, full_matrices=False)
    expected = u[:, :3] * (len(z) ** 0.5 if whiten else s[:3] / (s[:3].square().mean() / len(z)).sqrt())
    found = rows(out)
    sign = (found * expected).sum(0).sign()
    torch.testing.assert_close(found * sign, expected, rtol=0, atol=1e-4)
    assert found.var(0, correction=0).mean().item() == pytest.approx(1, abs=1e-5)


def test_transform_is_the_affine_map_it_says(rng):
    tokens = awkward_tokens(rng)
    transform = TokenTransform.fit(split(tokens, 11), ["a.1"], pca=4)
    matrix, offset = transform.linear_map("a.1", "global")
    torch.testing.assert_close(transform(tokens).global_["a.1"], tokens.global_["a.1"] @ matrix.T + offset)
    matrix, offset = transform.linear_map("a.1")
    expected = torch.einsum("kc,bchw->bkhw", matrix, tokens.local["a.1"]) + offset[:, None, None]
    torch.testing.assert_close(transform(tokens).local["a.1"], expected)


def test_transform_survives_its_state_dict_and_leaves_tokens_alone(rng):
    tokens = awkward_tokens(rng)
    before = tokens.map(torch.clone)
    transform = TokenTransform.fit(split(tokens, 9), ["a.1"], pca=4, whiten=True)
    twin = TokenTransform(["a.1"], [6], pca=4)
    twin.load_state_dict(transform.state_dict())
    assert torch.equal(twin(tokens).local["a.1"], transform(tokens).local["a.1"])
    assert torch.equal(tokens.local["a.1"], before.local["a.1"])


def test_components_that_never_vary_are_not_blown_up(rng):
    few = make_tokens(rng, ("x",), (20,), batch=5)
    out = TokenTransform.fit([few], ["x"], pca=10, whiten=True)(few).global_["x"]
    assert out.abs().max() < 3
    assert (out.std(0) > 1e-3).sum() == 4  # five images span four directions


def test_transform_needs_images(rng):
    with pytest.raises(ValueError, match="at least two images"):
        TokenTransform.fit([], ["x"])
    with pytest.raises(ValueError, match="not 'y'"):
        TokenTransform.fit([make_tokens(rng, ("x",), (4,))], ["y"])


def test_a_transform_lies_where_its_tokens_lie(rng):
    tokens = make_tokens(rng, ("x", "y"), (4, 3)).map(lambda t: t.to("meta"))  # the other device that is everywhere
    transform = TokenTransform.fit([tokens], ["x", "y"])
    assert {buffer.device.type for buffer in transform.buffers()} == {"meta"}


def test_identity_is_a_module_without_parameters():
    transform = TokenTransform(["x"], [(4, 6)])
    assert isinstance(transform, nn.Module)
    assert not list(transform.parameters())
    assert transform.layer_widths == ((4, 6),)


def test_a_global_token_that_is_the_mean_shares_the_components_of_the_local_ones(rng):
    mixing = torch.randn(6, 6, generator=rng)
    local = torch.einsum("ck,bkhw->bchw", mixing, torch.randn(40, 6, 4, 4, generator=rng)) + 3
    tokens = Tokens({"a": local, "b": local}, {"a": local.mean((2, 3)), "b": torch.randn(40, 6, generator=rng)})
    transform = TokenTransform.fit([tokens], ["a", "b"], pca=3, whiten=True)
    out = transform(tokens)
    # along each component the mean of the local tokens, scaled to unit variance
    expected = out.local["a"].mean((2, 3))
    expected = (expected - expected.mean(0)) / expected.std(0, correction=0)
    assert torch.allclose(out.global_["a"], expected, atol=1e-4)
    own, local_ones = (transform.linear_map("b", kind)[0] for kind in ("global", "local"))
    assert not torch.allclose(
        own / own.norm(dim=1, keepdim=True), local_ones / local_ones.norm(dim=1, keepdim=True), atol=0.1
    )


def test_channels_may_keep_their_size(rng):
    tokens = awkward_tokens(rng)
    transform = TokenTransform.fit([tokens], ["a.1"], standardize=False)
    out, mean = transform(tokens).global_["a.1"], tokens.global_["a.1"].mean(0)
    torch.testing.assert_close(out, tokens.global_["a.1"] - mean, rtol=1e-4, atol=1e-3)
    values = make_tokens(rng, ("x",), (3,), batch=40)
    values.local["x"][:, 1] *= 50  # is the first component where channels keep their size
    matrix, _ = TokenTransform.fit([values], ["x"], standardize=False, pca=1).linear_map("x")
    assert matrix[0].abs().argmax() == 1
    assert matrix[0].abs()[[0, 2]].max() < 0.05 * matrix[0, 1]


def test_components_have_their_largest_entry_positive(rng):
    mixed = torch.einsum("ck,bkhw->bchw", torch.randn(9, 9, generator=rng), torch.randn(30, 9, 4, 4, generator=rng))
    transform = TokenTransform.fit([Tokens({"x": mixed}, {"x": torch.randn(30, 9, generator=rng)})], ["x"], pca=8)
    for kind in ("local", "global"):
        components = transform.maps[f"{kind}_x"].components
        assert (components.gather(1, components.abs().argmax(1, keepdim=True)) > 0).all()


def test_components_that_never_vary_do_not_count_in_the_scale(rng):
    """Four of ten components vary: their mean variance is 1, not that of all ten."""
    few = make_tokens(rng, ("x",), (20,), batch=5)
    out = TokenTransform.fit([few], ["x"], pca=10)(few).global_["x"]
    variance = out.double().var(0, correction=0)
    assert variance[variance > 1e-6].mean().item() == pytest.approx(1, abs=1e-4)


def test_a_global_token_a_little_off_the_mean_is_centred_on_itself(rng):
    local = torch.randn(40, 6, 4, 4, generator=rng)
    offset = 0.05 * local.mean((2, 3)).std(0)
    out = TokenTransform.fit([Tokens({"a": local}, {"a": local.mean((2, 3)) + offset})], ["a"], pca=3)
    shifted = out(Tokens({"a": local}, {"a": local.mean((2, 3)) + offset})).global_["a"]
    torch.testing.assert_close(shifted.mean(0), torch.zeros(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize("pca", [None, 3])
def test_the_transform_stays_in_full_precision_under_autocast(rng, pca):
    tokens = make_tokens(rng, ("x",), (6,), batch=30).map(lambda t: t + 300)  # bfloat16 has three digits
    transform = TokenTransform.fit([tokens], ["x"], pca=pca)
    expected = transform(tokens)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = transform(tokens)
    assert torch.equal(found.local["x"], expected.local["x"])
    assert torch.equal(found.global_["x"], expected.global_["x"])


def test_moments_of_batches_are_those_of_the_whole_far_from_zero(rng):
    rows = 1e6 + torch.randn(50, 4, generator=rng, dtype=torch.float64)
    moments = RunningMoments(full=True)
    for part in rows.split([1, 30, 19]):
        moments.update(part)
    torch.testing.assert_close(moments.mean, rows.mean(0), rtol=1e-14, atol=0)
    torch.testing.assert_close(moments.covariance(), rows.T.cov(correction=0), rtol=0, atol=1e-9)
    torch.testing.assert_close(moments.sd(), rows.std(0, correction=0), rtol=0, atol=1e-9)
