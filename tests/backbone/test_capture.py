"""One pass: when it stops, what survives threads, nesting and exceptions."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import nn

from brainnet.backbone import HookedBackbone


class Settling(nn.Module):
    """Runs one cell until its state no longer moves: how often depends on the image."""

    def __init__(self):
        super().__init__()
        self.cell, self.end = nn.Hardtanh(), nn.Identity()
        self.turns = 0

    def forward(self, x):
        state, before = x, x + 1
        while (state - before).abs().max() > 1e-3:
            before, state = state, self.cell(state * 0.5)
            self.turns += 1
        return self.end(state)


def test_a_network_whose_steps_depend_on_the_image_runs_to_its_end():
    """Also where its module happened to run once for the first images."""
    backbone = HookedBackbone(Settling(), ["cell"], feature_map="BCHW")
    backbone.get_tokens(torch.zeros(1, 3, 4, 4))
    assert backbone.network.turns == 1
    for scale in (1.0, 0.1, 0.9):
        images = torch.full((1, 3, 4, 4), scale)
        assert torch.equal(backbone.get_tokens(images).local["cell"], Settling()(images))


@pytest.mark.parametrize("fixed_steps", [None, True, False])
def test_a_pass_stops_when_it_has_everything_where_steps_are_fixed(rng, fixed_steps):
    ran = []

    class Tail(nn.Module):
        def forward(self, x):
            if not isinstance(x, torch.fx.Proxy):
                ran.append(x)
            return x

    images = torch.randn(1, 3, 4, 4, generator=rng)
    backbone = HookedBackbone(nn.Sequential(nn.Conv2d(3, 2, 1), Tail()), ["0"], fixed_steps=fixed_steps)
    first = backbone.get_tokens(images)
    assert len(ran) == 1
    assert torch.equal(backbone.get_tokens(images).local["0"], first.local["0"])
    assert len(ran) == (2 if fixed_steps is False else 1)


def test_threads_do_not_mix_their_images(rng):
    backbone = HookedBackbone(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)), ["0", "2"])
    batches = torch.randn(6, 4, 3, 24, 24, generator=rng)
    alone = [backbone.get_tokens(batch) for batch in batches]
    found: dict[int, list] = {i: [] for i in range(len(batches))}
    barrier = threading.Barrier(len(batches))

    def work(i):
        barrier.wait()
        for _ in range(20):
            found[i].append(backbone.get_tokens(batches[i]))

    threads = [threading.Thread(target=work, args=(i,)) for i in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for i, results in found.items():
        assert len(results) == 20
        assert all(torch.equal(r.local[k], alone[i].local[k]) for r in results for k in r.layers)
    assert not any(module._forward_hooks for module in backbone.modules())


def test_a_call_within_a_call_keeps_both_apart(rng):
    outer_images, inner_images = torch.randn(2, 1, 3, 6, 6, generator=rng)
    backbone = HookedBackbone(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), ["0", "1"])
    expected = [backbone.get_tokens(images) for images in (outer_images, inner_images)]
    inner = []

    def nested(*_):
        if not inner:
            inner.append(None)
            inner[0] = backbone.get_tokens(inner_images)

    handle = backbone.network[1].register_forward_hook(nested)
    outer = backbone.get_tokens(outer_images)
    handle.remove()
    for found, wanted in zip((outer, inner[0]), expected, strict=True):
        assert all(torch.equal(found.local[k], wanted.local[k]) for k in ("0", "1"))


def test_an_exception_in_the_network_passes_and_leaves_nothing(rng):
    backbone = HookedBackbone(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), ["0", "1"])
    images = torch.randn(1, 3, 6, 6, generator=rng)

    def fail(*_):
        raise KeyboardInterrupt

    handle = backbone.network[1].register_forward_pre_hook(fail)
    with pytest.raises(KeyboardInterrupt):
        backbone.get_tokens(images)
    handle.remove()
    assert not any(module._forward_hooks for module in backbone.modules())
    assert backbone.get_tokens(images).layers == ("0", "1")
