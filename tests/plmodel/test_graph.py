"""The captured step: its plumbing with a stand-in for CUDA's capture, and the real one where there is a GPU."""

from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from brainnet.plmodel import PLModel
from brainnet.plmodel.graph import GraphedObjective
from brainnet.tokens import Tokens
from tests.toys import ToyBackbone, toy_config, toy_dataset


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, -1.0]))

    def objective(self, tokens, response):
        fit = self.weight[0] * tokens.local["b"].mean((1, 2, 3)) + self.weight[1] * tokens.global_["a"][:, 0]
        return (fit - response[:, 0]).square().mean(), self.weight.square().sum()


def batch(n, seed=0):
    generator = torch.Generator().manual_seed(seed)
    local = {name: torch.randn(n, 3, 2, 2, generator=generator) for name in "ab"}
    return Tokens(local, {name: torch.randn(n, 3, generator=generator) for name in "ab"}), torch.randn(n, 1)


@pytest.fixture
def capture(monkeypatch):
    """CUDA's capture in its outward behaviour: results in one piece of memory that every call writes over."""
    captured = []

    def make(module, examples):
        captured.append([tuple(example.shape) for example in examples])
        memory = [torch.zeros(()), torch.zeros(())]

        class Replayed(torch.autograd.Function):
            @staticmethod
            def forward(ctx, *values):
                assert [tuple(value.shape) for value in values[1:]] == captured[-1]
                with torch.enable_grad():
                    found = module(*values[1:])
                    ctx.slopes = [
                        torch.autograd.grad(value, values[0], retain_graph=True, allow_unused=True)[0]
                        for value in found
                    ]
                for place, value in zip(memory, found, strict=True):
                    place.copy_(value.detach())
                return tuple(place.detach() for place in memory)

            @staticmethod
            def backward(ctx, *grads):
                weight = sum(g * s for g, s in zip(grads, ctx.slopes, strict=True) if s is not None)
                return weight, *[None] * len(examples)

        (weight,) = module.module.parameters()
        return lambda *values: Replayed.apply(weight, *values)

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", make)
    return captured


def test_a_replay_gives_the_values_and_gradients_of_the_objective(capture):
    plain, graphed = Reader(), Reader()
    replay = GraphedObjective(graphed.objective, graphed)
    results = []
    for seed in range(3):
        tokens, response = batch(4, seed)
        for objective in (plain.objective, replay):
            loss, regulariser = objective(tokens, response)
            (loss + 0.3 * regulariser).backward()
            results.append((loss.detach(), regulariser.detach()))
        torch.testing.assert_close(graphed.weight.grad, plain.weight.grad)
    assert len(capture) == 1
    for expected, found in zip(results[::2], results[1::2], strict=True):
        assert expected == found  # also the first ones, which later replays must not have written over


def test_a_thread_that_reads_ahead_does_not_disturb_the_capture(monkeypatch):
    modes = []

    def make(module, examples, capture_error_mode="global"):
        modes.append(capture_error_mode)
        return module

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", make)
    model = Reader()
    GraphedObjective(model.objective, model)(*batch(4))
    assert modes == ["thread_local"]


def test_mixed_precision_stays_out_of_the_capture(monkeypatch):
    seen = []

    def make(module, examples):
        seen.append(torch.is_autocast_enabled("cpu"))
        return module

    monkeypatch.setattr(torch.cuda, "make_graphed_callables", make)
    model = Reader()
    with torch.autocast("cpu", torch.bfloat16):
        GraphedObjective(model.objective, model)(*batch(4))
    assert seen == [False]


def test_a_batch_of_another_shape_is_computed_as_ever(capture):
    model = Reader()
    replay = GraphedObjective(model.objective, model)
    tokens, response = batch(4)
    replay(tokens, response)
    tokens, response = batch(3)
    expected = Reader().objective(tokens, response)
    assert replay(tokens, response) == expected
    assert len(capture) == 1


def fitted(graph, folder, accelerator="cpu"):
    config = toy_config("TRAINER.CUDA_GRAPH", str(graph), "TRAINER.MAX_EPOCHS", "4")
    model = PLModel(config, ToyBackbone(), data=toy_dataset())
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    pl.Trainer(accelerator=accelerator, devices=1, max_epochs=4, default_root_dir=folder, **quiet).fit(model)
    return model


def test_on_a_cpu_nothing_is_captured(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "make_graphed_callables", None)
    with_graph, without = fitted(True, tmp_path / "a"), fitted(False, tmp_path / "b")
    assert with_graph.history == without.history


def test_a_step_captured_in_an_interrupted_training_is_not_replayed_in_the_next(tmp_path):
    model, seen = PLModel(toy_config(), ToyBackbone(), data=toy_dataset()), []
    model._graphed = "left by a training that was interrupted"

    class Look(pl.Callback):
        def on_train_start(self, trainer, module):
            seen.append(module._graphed)

    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    pl.Trainer(accelerator="cpu", max_epochs=1, default_root_dir=tmp_path, callbacks=[Look()], **quiet).fit(model)
    assert seen == [None]


def test_gradients_of_replays_are_not_accumulated(tmp_path):
    model = PLModel(toy_config("TRAINER.CUDA_GRAPH", "true"), ToyBackbone(), data=toy_dataset())
    trainer = pl.Trainer(
        accelerator="cpu", max_epochs=1, accumulate_grad_batches=2, default_root_dir=tmp_path, logger=False
    )
    with pytest.raises(ValueError, match="accumulate_grad_batches=1"):
        trainer.fit(model)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_captured_training_is_the_uncaptured_one(tmp_path):
    with_graph, without = fitted(True, tmp_path / "a", "gpu"), fitted(False, tmp_path / "b", "gpu")
    for name, value in without.state_dict().items():
        torch.testing.assert_close(with_graph.state_dict()[name], value)
    assert with_graph._graphed is None  # let go of at the end
