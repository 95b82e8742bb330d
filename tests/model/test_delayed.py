"""FactorTopy over time: equal to FactorTopy on mixed tokens, and planted delays are found."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from brainnet.config import load_config
from brainnet.datamodule import BrainDataModule
from brainnet.dataset import Cleaning, TimeSeries
from brainnet.dataset.series_tokens import volume_tokens
from brainnet.model import DelayedFactorTopy, FactorTopy
from brainnet.model.delayed import delays_of
from brainnet.model.readout import selectors_of
from brainnet.plmodel import PLModel
from brainnet.scores import pearson_r
from brainnet.selection.definition import MAX_WIDTH, MIN_WIDTH
from brainnet.series import delayed
from brainnet.space import BrainSpace

DELAYS = [1, 2, 3]


def toy_tokens(batch=5, width=4, layers=("0", "1"), grid=(2, 3), seed=0):
    rng = torch.Generator().manual_seed(seed)
    local = {k: torch.randn(batch, len(DELAYS) * width, *grid, generator=rng) for k in layers}
    return local, {k: v.mean((2, 3)) for k, v in local.items()}


def toy_model(topology="free", **options):
    torch.manual_seed(0)
    coords = torch.rand(7, 3) if topology == "coords" else None
    made = DelayedFactorTopy(
        ["0", "1"], [12, 12], 7, coords, delays=DELAYS, bottleneck_dim=6, grid=(2, 3), topology=topology, **options
    )
    for name, parameter in made.named_parameters():
        if "_selector" in name:
            torch.nn.init.normal_(parameter)
    return made


@pytest.mark.parametrize("topology", ["free", "coords"])
@pytest.mark.parametrize("window", ["point", "gaussian"])
def test_it_is_factortopy_on_each_voxels_own_mix_of_delays(topology, window):
    """For one voxel: mix the tokens of the delays first, then read them with FactorTopy of the same weights."""
    model = toy_model(topology, window=window)
    local, global_ = toy_tokens()
    with torch.no_grad():
        found, _ = model(local, global_)
        selectors, width = model.get_selectors(), model.width() if window == "gaussian" else None
        plain = FactorTopy(["0", "1"], [4, 4], 7, bottleneck_dim=6, grid=(2, 3), topology="free", window=window)
        for key in ("local_token_bottleneck", "global_token_bottleneck"):
            getattr(plain, key).load_state_dict(getattr(model, key).state_dict())
        plain.weight.copy_(model.weight)
        plain.bias.copy_(model.bias)
        for voxel in range(7):
            mix = model.get_delays()[voxel]
            mixed = [
                {k: sum(mix[d] * t.unflatten(1, (3, 4))[:, d] for d in range(3)) for k, t in part.items()}
                for part in (local, global_)
            ]
            plain.space_selector.copy_(selectors.space.atanh())
            plain.layer_selector.copy_(selectors.layer.log())
            plain.scale_selector.copy_(torch.logit(selectors.scale))
            if window == "gaussian":
                ratio, start = (
                    (w / MIN_WIDTH).log() / np.log(MAX_WIDTH / MIN_WIDTH) for w in (width, torch.tensor(0.35))
                )
                plain.width_selector.copy_(torch.logit(ratio) - torch.logit(start))
            torch.testing.assert_close(plain(*mixed)[0][:, voxel], found[:, voxel], atol=1e-4, rtol=1e-4)


def test_all_delays_alike_at_the_start_and_shares_sum_to_one():
    model = DelayedFactorTopy(["0"], [12], 7, None, delays=DELAYS, topology="free")
    torch.testing.assert_close(model.get_delays(), torch.full((7, 3), 1 / 3))
    torch.testing.assert_close(model.latency(tr=2.0), torch.full((7, 1), 4.0))
    shaken = toy_model()
    torch.testing.assert_close(shaken.get_delays().sum(1), torch.ones(7))
    assert selectors_of(shaken).layer.shape == (7, 2)
    assert delays_of(shaken).shape == (7, 3)
    assert delays_of(FactorTopy(["0"], [4], 2, topology="free")) is None


@pytest.mark.parametrize("topology", ["free", "coords"])
def test_some_voxels_predict_as_in_the_whole(topology):
    model = toy_model(topology)
    tokens = toy_tokens()
    part = model.subset(torch.tensor([5, 1]))
    torch.testing.assert_close(part(*tokens)[0], model(*tokens)[0][:, [5, 1]])
    torch.testing.assert_close(part.get_delays(), model.get_delays()[[5, 1]])


def test_contributions_are_shares_of_layers():
    model = toy_model()
    found = model.contributions([toy_tokens(seed=1), toy_tokens(seed=2)])
    torch.testing.assert_close(found.layer.sum(1), torch.ones(7))
    still = copy.deepcopy(model)
    with torch.no_grad():
        still.layer_selector[:, 1] = -30
    assert (still.contributions([toy_tokens(seed=1), toy_tokens(seed=2)]).layer[:, 0] > 0.99).all()


def test_tokens_are_left_untouched_and_gradients_reach_the_delays():
    model, tokens = toy_model(), toy_tokens()
    before = copy.deepcopy(tokens)
    prediction, regulariser = model(*tokens)
    (prediction.square().sum() + regulariser).backward()
    assert model.delay_selector.grad.abs().max() > 0
    for part, kept in zip(tokens, before, strict=True):
        assert all(torch.equal(part[k], kept[k]) for k in part)


def test_channels_that_are_not_those_of_the_delays_are_refused():
    with pytest.raises(ValueError, match="'0' has 10 channels"):
        DelayedFactorTopy(["0"], [10], 2, None, delays=DELAYS, topology="free")
    with pytest.raises(ValueError, match="each once"):
        DelayedFactorTopy(["0"], [12], 2, None, delays=[1, 1], topology="free")
    with pytest.raises(ValueError, match="channels"):
        toy_model()(*toy_tokens(width=5))


# ---------------------------------------------------------------------- planted truth

LENGTHS = {"a": 150, "b": 150, "c": 150, "d": 150, "t": 200}


def planted(seed=0, n_layers=6, width=12, n_voxels=24):
    """Voxels that read layer 4 of a network six seconds later, others layer 1 after two; each layer drifts to the next.

    Features are slow in time, as those of a story are, so that neighbouring delays are alike.
    """
    from scipy.signal import lfilter

    rng = np.random.default_rng(seed)
    runs = np.repeat(list(LENGTHS), list(LENGTHS.values()))
    base = lfilter([1], [1, -0.4], rng.normal(size=(n_layers, len(runs), width)), axis=1)
    layers, before = {}, base[0]
    for k in range(n_layers):  # a layer keeps half of the one before
        before = (0.5 * before + 0.85 * base[k]) if k else base[0]
        layers[str(k)] = (before / before.std()).astype(np.float32)
    layer, delay = np.where(np.arange(n_voxels) < n_voxels // 2, [[4], [3]], [[1], [1]])
    signal = np.stack(
        [delayed(layers[str(k)], [d], runs) @ rng.normal(size=width) for k, d in zip(layer, delay, strict=True)], axis=1
    )
    signal /= signal.std(0)
    noise = 0.7 * lfilter([0.8], [1, -0.6], rng.normal(size=(2, *signal.shape)), axis=1)
    data = {run: signal[runs == run] + noise[0, runs == run] for run in LENGTHS}
    data["t"] = signal[runs == "t"] + noise[:, runs == "t"]  # shown twice
    x = np.repeat([0.0, 40.0], [n_voxels // 2, n_voxels - n_voxels // 2]) + rng.uniform(0, 5, n_voxels)
    space = BrainSpace(coords=torch.tensor(np.stack([x, rng.uniform(0, 5, n_voxels), np.zeros(n_voxels)], 1)).float())
    series = TimeSeries(data, tr=2.0, test=["t"], val=["d"], space=space, cleaning=Cleaning(0))
    return series, layers, torch.tensor(layer), torch.tensor(delay)


def trained(data, store, topology, epochs=40):
    torch.manual_seed(0)
    model = DelayedFactorTopy(
        store.layers, store.layer_widths, data.n_voxels, data.space.coords if topology == "coords" else None,
        delays=[0, 1, 2, 3, 4], bottleneck_dim=32, topology=topology, head="sum",
    )  # fmt: skip
    batches = BrainDataModule(data, store, batch_size=50)
    selectors = model.selector_parameters()
    chosen = set(map(id, selectors))
    groups = [
        {"params": selectors, "lr": 0.05 if topology == "free" else 3e-3, "weight_decay": 0.0},
        {"params": [p for p in model.parameters() if id(p) not in chosen], "lr": 0.01, "weight_decay": 0.1},
    ]
    optimizer = torch.optim.AdamW(groups)
    for _ in range(epochs):
        for tokens, response in batches.train_dataloader():
            prediction, _ = model(*tokens)
            loss = (prediction - response).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


@pytest.mark.parametrize("topology", ["free", "coords"])
def test_a_planted_layer_and_delay_are_found(topology):
    """A voxel that reads layer 4 after 6 s is found at layer 4 (within one) and 6 s; r over its ceiling at least .9."""
    data, layers, layer, delay = planted()
    store = volume_tokens(data, layers, [0, 1, 2, 3, 4])
    model = trained(data, store, topology)
    with torch.no_grad():
        found = model.get_selectors()
        prediction = model(*store.tokens(data.splits["test"]))[0]
    assert ((found.layer.argmax(1) - layer).abs() <= 1).all()
    assert (found.layer.argmax(1) == layer).float().mean() > 0.8
    assert (model.get_delays().argmax(1) == delay).all()
    r = pearson_r(prediction, data.responses[data.splits["test"]])
    assert (r / data.noise_ceiling).mean() >= 0.9
    control = trained(data.shuffled(seed=1), store, topology, epochs=10)
    with torch.no_grad():
        chance = pearson_r(
            control(*store.tokens(data.splits["test"]))[0], data.shuffled(1).responses[data.splits["test"]]
        )
    assert abs(chance.mean()) < 0.05  # 24 voxels, 200 volumes worth some 100 each: standard error .02


@pytest.mark.parametrize("start", ["random", "ridge"])
def test_it_is_trained_by_its_name_in_a_config(start, tmp_path):
    """Lightning trains it as any read-out; started from ridge, it reads the planted delays before the first step."""
    data, layers, _, delay = planted(n_layers=5)
    store = volume_tokens(data, layers, [0, 1, 2, 3, 4])
    words = ["MODEL.READOUT", "delayed", "MODEL.OPTIONS", "{'delays': [0, 1, 2, 3, 4]}", "MODEL.GRID", "(1,1)",
             "MODEL.BOTTLENECK_DIM", "24", "MODEL.HEAD", "sum", "MODEL.TOPOLOGY", "free", "OPTIMIZER.LR", "0.005",
             "TOKENS.STANDARDIZE", "False", "MODEL.START", start, "MODEL.WINDOW", "gaussian"]  # fmt: skip
    model = PLModel(load_config(None, words), None, data=BrainDataModule(data, store, batch_size=50), progress=False)
    epochs = 1 if start == "ridge" else 3
    pl.Trainer(max_epochs=epochs, accelerator="cpu", logger=False, enable_checkpointing=False,
               default_root_dir=tmp_path, enable_progress_bar=False, enable_model_summary=False).fit(model)  # fmt: skip
    assert model.encoder.get_delays().shape == (24, 5)
    if start == "ridge":
        assert (model.encoder.get_delays().argmax(1) == delay).float().mean() > 0.8
        r = pearson_r(model.predict_index(data.splits["test"]), data.responses[data.splits["test"]])
        assert r.mean() > 0.5


@pytest.mark.parametrize("topology", ["free", "coords"])
def test_evidence_sets_layers_and_delays_and_neighbors_help_each_other(topology):
    torch.manual_seed(0)
    coords = torch.rand(60, 3, generator=torch.Generator().manual_seed(1))
    model = DelayedFactorTopy(["0", "1"], [12, 12], 60, coords if topology == "coords" else None, delays=DELAYS,
                              topology=topology)  # fmt: skip
    layer, delay = (coords[:, 0] > 0.5).long(), (coords[:, 1] * 3).long()
    evidence = torch.zeros(60, 2, 3, dtype=torch.float64)
    evidence[torch.arange(60), layer, delay] = 8.0
    evidence[:5] = 0  # nothing is known of them: their neighbors say it
    evidence[5] = -torch.inf
    model.evidence_start(evidence - 1000 * torch.rand(60, 1, 1))
    found = model.get_selectors()
    assert (found.layer.argmax(1) == layer)[6:].all()
    assert (found.delay.argmax(1) == delay)[6:].all()
    assert found.layer[6:].amax(1).mean() > 0.8
    if topology == "coords":
        assert found.layer[:6].amax(1).min() > 0.6
    else:
        torch.testing.assert_close(found.layer[:6], torch.full((6, 2), 0.5), atol=0.05, rtol=0)
    with pytest.raises(ValueError, match="60, 2, 3"):
        model.evidence_start(evidence[:, :1])
