"""How tokens lie in a row, and what float16 keeps of them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from brainnet.store import TokenStore
from brainnet.store import file as store_file
from brainnet.store.layout import Layout
from brainnet.store.manifest import Manifest
from brainnet.tokens import Tokens
from tests.store.toys import Toy, store_of


@settings(max_examples=60)
@given(st.lists(st.floats(-1, 1, width=32), min_size=2, max_size=6), st.integers(-90, 120))
def test_float16_keeps_any_magnitude(values, exponent):
    values = torch.tensor([values]) * 2.0**exponent
    decoded = store_of(values, dtype=torch.float16).tokens().local["x"][:, :, 0, 0]
    # relative to each value 2^-11, until values 2^25 below the layer's largest reach fp16's subnormals
    allowed = values.abs() * 2.0**-11 + values.abs().max() * 2.0**-21
    assert ((decoded - values).abs() <= allowed).all()


def test_float16_keeps_even_float32s_subnormals():
    values = torch.tensor([[1e-44, -3e-44, 0.0]])
    assert torch.equal(store_of(values, dtype=torch.float16).features("x"), values)


def test_overflow_is_scaled_and_told_apart_by_chunk():
    values = torch.tensor([[1.0, 2.0], [1e6, -3e5], [3.0, 4.0]])
    tokens = Tokens({"x": values[:, :, None, None]}, {"x": values})
    manifest = Manifest("float16", ["0", "1", "2"], {}, 1, 1)
    sink = store_file.MemorySink(manifest)
    store_file.fill(sink, [tokens])
    assert sink.manifest.scales[0] == [1.0]
    assert sink.manifest.scales[1][0] > 1
    assert torch.isfinite(sink.rows).all()
    store = TokenStore._of(sink.manifest, sink.rows, None)
    torch.testing.assert_close(store.features("x", "global"), values, rtol=2**-11, atol=0)
    torch.testing.assert_close(store.features("x", "global", [2, 1]), values[[2, 1]], rtol=2**-11, atol=0)
    with pytest.raises(ValueError, match="beyond float16"):
        store.packed([1], dtype=torch.float16)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_value_that_is_not_finite_names_layer_and_image(images, bad):
    class Broken(Toy):
        def get_tokens(self, images):
            local, global_ = super().get_tokens(images)
            if self.calls == 2:
                local["b"][1, 0, 0, 0] = bad
            return local, global_

    with pytest.raises(ValueError, match=r"layer 'b' are not finite.*image '5'"):
        TokenStore.build(Broken(), images, batch_size=4)


def test_tokens_are_views_of_the_rows_they_are_unpacked_from(rng):
    """Also of rows in the middle of a larger block, and of layers of different widths."""
    layout = Layout(("a", "b"), (3, 2), ((2, 4), (2, 4)))
    tokens = Tokens(
        {"a": torch.randn(4, 3, 2, 4, generator=rng), "b": torch.randn(4, 2, 2, 4, generator=rng)},
        {"a": torch.randn(4, 3, generator=rng), "b": torch.randn(4, 2, generator=rng)},
    )
    block = torch.zeros(9, layout.row + 5)
    rows = block[3:7, 2 : 2 + layout.row]
    layout.pack(tokens, rows)
    for found, packed in zip(layout.unpack(rows), tokens, strict=True):
        for name, value in packed.items():
            assert torch.equal(found[name], value), name
            assert found[name].untyped_storage().data_ptr() == block.untyped_storage().data_ptr()
