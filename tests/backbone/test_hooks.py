"""HookedBackbone: what hooks see, when a pass stops, what survives threads, nesting and exceptions."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brainnet.backbone import HookedBackbone
from brainnet.backbone.hooks import token_grid


class Sequences(nn.Module):
    """A stand-in for transformers: numbered tokens, so that a test can say where each one must land."""

    def __init__(self, grid, prefix, batch_first=True):
        super().__init__()
        self.grid, self.prefix, self.batch_first = grid, prefix, batch_first
        self.block = nn.Identity()

    def forward(self, images):
        n = self.prefix + self.grid[0] * self.grid[1]
        tokens = torch.arange(n * 2.0).view(1, n, 2) + 1000 * torch.arange(len(images)).view(-1, 1, 1)
        return self.block(tokens if self.batch_first else tokens.transpose(0, 1))


class Tape(nn.Module):
    """Runs ``shared`` twice, then ``tail``, and remembers what ran."""

    def __init__(self):
        super().__init__()
        self.shared, self.tail, self.end = nn.ReLU(), nn.Conv2d(3, 2, 1), nn.Identity()
        self.ran = []

    def forward(self, x):
        x = self.shared(x)
        x = self.shared(x - 1)
        self.ran.append("tail")
        return self.end(self.tail(x))


@pytest.mark.parametrize("batch_first", [True, False])
def test_sequences_lose_registers_and_keep_their_places(batch_first):
    network = Sequences((2, 3), prefix=3, batch_first=batch_first)
    sequence = "BNC" if batch_first else "NBC"
    backbone = HookedBackbone(network, ["block"], prefix_tokens=3, sequence=sequence)
    local, whole = backbone.get_tokens(torch.zeros(6, 3, 20, 30))  # six images, six patches: axes cannot be told apart
    assert local["block"].shape == (6, 2, 2, 3)
    assert local["block"][0, 0].tolist() == [[6.0, 8.0, 10.0], [12.0, 14.0, 16.0]]  # token 3 comes first
    assert local["block"][4, 1, 0, 0] == 4007
    assert whole["block"].tolist() == [[1000.0 * b, 1000.0 * b + 1] for b in range(6)]


def test_registers_without_class_token_give_the_mean():
    backbone = HookedBackbone(Sequences((2, 2), prefix=4), ["block"], prefix_tokens=4, class_token=False)
    local, whole = backbone.get_tokens(torch.zeros(1, 3, 8, 8))
    assert torch.equal(whole["block"], local["block"].mean((2, 3)))


def test_forgotten_prefix_tokens_are_an_error_that_says_so():
    backbone = HookedBackbone(Sequences((14, 14), prefix=1), ["block"])
    with pytest.raises(ValueError, match=r"197 tokens make no grid.*prefix_tokens="):
        backbone.get_tokens(torch.zeros(1, 3, 224, 224))


def test_grid_follows_the_image():
    assert token_grid(32, (128, 70)) == (8, 4)
    assert token_grid(6, (100, 31), patch_size=16) == (6, 1)
    with pytest.raises(ValueError, match="patch_size"):
        token_grid(7, (32, 32), patch_size=16)


def test_channels_last_maps_and_vectors():
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Flatten(1), nn.Linear(4 * 6, 5))
    backbone = HookedBackbone(network, ["2"])
    local, whole = backbone.get_tokens(torch.randn(2, 3, 2, 3))
    assert local["2"].shape == (2, 5, 1, 1)
    assert torch.equal(local["2"][..., 0, 0], whole["2"])

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.block = nn.Identity()

        def forward(self, x):
            return self.block(x.permute(0, 2, 3, 1))

    images = torch.randn(2, 3, 4, 5)
    local, _ = HookedBackbone(Last(), ["block"], feature_map="BHWC").get_tokens(images)
    assert torch.equal(local["block"], images)


def test_in_place_successors_do_not_reach_the_tokens(rng):
    images = torch.randn(2, 3, 6, 6, generator=rng)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    local, _ = HookedBackbone(network, ["0"]).get_tokens(images)
    assert torch.equal(local["0"], network[0](images))
    assert (local["0"] < 0).any()


def test_a_module_used_twice_gives_its_last_output(rng):
    images = torch.randn(1, 3, 4, 4, generator=rng)
    backbone = HookedBackbone(Tape(), ["shared"])
    for _ in range(3):
        local, _ = backbone.get_tokens(images)
        assert torch.equal(local["shared"], (images.relu() - 1).relu())
    assert len(backbone.network.ran) == 3  # whose turn is the last is known at the end only


def test_outputs_of_ones_own_kind_are_read_by_an_adapter(rng):
    class Gives(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return {"logits": x.mean((1, 2, 3)), "features": self.body(x)}

    network, images = Gives(), torch.randn(2, 3, 5, 6, generator=rng)
    with pytest.raises(ValueError, match=r"out gives dict.*adapter="):
        HookedBackbone(network, {"out": ""}).get_tokens(images)
    backbone = HookedBackbone(network, {"out": ""}, adapter=lambda output: output["features"])
    for _ in range(2):
        assert torch.equal(backbone.get_tokens(images).local["out"], network.body(images))
    assert "adapter" in backbone.fingerprint()["settings"]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_script_module_is_refused_in_one_line():
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU())
    for scripted in (torch.jit.script(network), nn.Sequential(torch.jit.trace(network, torch.zeros(1, 3, 4, 4)))):
        with pytest.raises(TypeError, match="ScriptModule") as refused:
            HookedBackbone(scripted, ["0"])
        assert "\n" not in str(refused.value)


def test_a_layer_that_never_runs_is_named():
    network = nn.ModuleDict({"used": nn.Conv2d(3, 2, 1), "idle": nn.Conv2d(3, 2, 1)})
    network.forward = lambda x: network["used"](x)
    with pytest.raises(ValueError, match="idle never ran"):
        HookedBackbone(network, ["used", "idle"]).get_tokens(torch.zeros(1, 3, 4, 4))


@pytest.mark.parametrize("own", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16])
def test_networks_of_any_precision_give_float32_for_images_of_any(own, given, rng):
    backbone = HookedBackbone(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()).to(own), ["0", "1"])
    images = torch.randn(2, 3, 4, 5, generator=rng).to(given)
    before = images.clone()
    for _ in range(2):
        local, whole = backbone.get_tokens(images)
        assert local["1"].dtype == whole["1"].dtype == torch.float32
        assert torch.equal(local["1"], backbone.network(images.to(own)).float())
    assert torch.equal(images, before)


def test_objects_of_transformers_are_read_by_the_names_of_their_parts(rng):
    outputs = pytest.importorskip("transformers").modeling_outputs

    class Last(nn.Module):
        def forward(self, x):
            sequence = x.flatten(2).mT
            return outputs.BaseModelOutputWithPooling(
                last_hidden_state=sequence, pooler_output=sequence.mean(1), hidden_states=(sequence * 2, sequence)
            )

    network = nn.Sequential(nn.Conv2d(3, 4, 1), Last())
    images = torch.randn(2, 3, 4, 5, generator=rng)
    layers = ["1", "1:pooler_output", "1:hidden_states.0"]
    backbone = HookedBackbone(network, layers)
    expected = network[0](images)
    for _ in range(2):
        local, whole = backbone.get_tokens(images)
        assert torch.equal(local["1"], expected)
        assert torch.equal(local["1:hidden_states.0"], 2 * expected)
        torch.testing.assert_close(whole["1:pooler_output"], expected.mean((2, 3)))


def test_one_pass_serves_all_layers_and_stops_behind_the_deepest(rng):
    ran = []
    network = nn.Sequential(*(nn.Conv2d(3, 3, 1) for _ in range(5)))
    for i, module in enumerate(network):
        module.register_forward_hook(lambda *_, i=i: ran.append(i))
    backbone = HookedBackbone(network, ["2", "0"])
    images = torch.randn(1, 3, 4, 4, generator=rng)
    first = backbone.get_tokens(images)
    ran.clear()
    again = backbone.get_tokens(images)
    assert ran == [0, 1, 2]
    assert list(again.local) == ["2", "0"]
    assert all(torch.equal(first.local[layer], again.local[layer]) for layer in ("0", "2"))


def test_layers_may_be_renamed():
    backbone = HookedBackbone(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), {"V1": "1", "LGN": "0"})
    assert backbone.get_tokens(torch.zeros(1, 3, 4, 4)).layers == ("V1", "LGN") == backbone.layers


def test_any_call_of_a_module_can_be_had_and_later_ones_are_not_waited_for(rng):
    images = torch.randn(2, 3, 4, 4, generator=rng)
    backbone = HookedBackbone(Tape(), ["shared@0", "shared@1", "shared"])
    for _ in range(2):
        local, _ = backbone.get_tokens(images)
        assert torch.equal(local["shared@0"], images.relu())
        assert torch.equal(local["shared@1"], local["shared"])
        assert torch.equal(local["shared"], (images.relu() - 1).relu())
    alone = HookedBackbone(Tape(), ["shared@1"])
    assert torch.equal(alone.get_tokens(images).local["shared@1"], local["shared"])
    assert alone.network.ran == []  # what was asked for is final, whatever comes
    with pytest.raises(ValueError, match=r"shared@2.*there are 2 calls"):
        HookedBackbone(Tape(), ["shared@2"]).get_tokens(images)


class Gives(nn.Module):
    """A block whose output is what a function makes of its input."""

    def __init__(self, function, before=None):
        super().__init__()
        self.before, self.function = before or nn.Identity(), function

    def forward(self, x):
        return self.function(self.before(x))


def test_parts_of_tuples_dicts_and_objects(rng):
    images = torch.randn(2, 3, 4, 5, generator=rng)
    network = Gives(lambda x: {"maps": (x, x * 2), "logits": x.mean((2, 3))}, nn.Conv2d(3, 4, 1))
    backbone = HookedBackbone(nn.Sequential(network), ["0:maps.1", "0:logits", "0.before"])
    for _ in range(2):
        local, whole = backbone.get_tokens(images)
        assert torch.equal(local["0:maps.1"], 2 * local["0.before"])
        assert torch.equal(whole["0:logits"], local["0.before"].mean((2, 3)))
    with pytest.raises(ValueError, match=r"0 gives tuple.*'0:KEY'"):
        HookedBackbone(nn.Sequential(Gives(lambda x: ("a", 3))), ["0"]).get_tokens(images)
    with pytest.raises(ValueError, match=r"there is no 'mops' in dict with maps, logits"):
        HookedBackbone(nn.Sequential(network), ["0:mops"]).get_tokens(images)


@pytest.mark.parametrize("n_images", [1, 2, 20])
@pytest.mark.parametrize("order", ["BNC", "NBC", "BCN"])
def test_the_axes_of_a_sequence_are_found(rng, order, n_images):
    """Also with as many images as places."""
    images = torch.randn(n_images, 3, 4, 5, generator=rng)
    turn = {"BNC": (0, 2, 1), "NBC": (2, 0, 1), "BCN": (0, 1, 2)}[order]
    network = nn.Sequential(nn.Conv2d(3, 7, 1), Gives(lambda x: x.flatten(2).permute(turn)))
    backbone = HookedBackbone(network, ["1"])
    for _ in range(2):
        assert torch.equal(backbone.get_tokens(images).local["1"], network[0](images))


def test_places_mixed_into_something_else_are_refused(rng):
    images = torch.randn(2, 3, 4, 4, generator=rng)
    network = nn.Sequential(nn.Conv2d(3, 7, 1), nn.Flatten(2), nn.Linear(16, 64), nn.GELU(), nn.Linear(64, 16))
    for layer in ("2", "3"):  # 64 hidden units are no 8 x 8 places
        with pytest.raises(ValueError, match="which axis holds the channels"):
            HookedBackbone(network, [layer]).get_tokens(images)
    local = HookedBackbone(network, ["4"]).get_tokens(images).local["4"]
    assert torch.equal(local, network(images).unflatten(2, (4, 4)))


def test_windows_and_regions_are_no_images(rng):
    cut = Gives(lambda x: x.unflatten(2, (2, 2)).unflatten(4, (2, 2)).permute(0, 2, 4, 3, 5, 1).flatten(0, 2))
    network = nn.Sequential(nn.Conv2d(3, 7, 1), cut, nn.Linear(7, 5))
    with pytest.raises(ValueError, match=r"\(8, 2, 2, 5\) for 2 images"):
        HookedBackbone(network, ["2"]).get_tokens(torch.randn(2, 3, 4, 4, generator=rng))


def test_time_is_averaged(rng):
    images = torch.randn(2, 3, 4, 5, generator=rng)
    clip = Gives(lambda x: x[:, :, None].repeat(1, 1, 3, 1, 1))
    network = nn.Sequential(clip, nn.Conv3d(3, 4, 1), Gives(lambda x: x.permute(0, 2, 3, 4, 1)), nn.LayerNorm(4))
    local, _ = HookedBackbone(network, ["1", "3"]).get_tokens(images)
    assert local["1"].shape == local["3"].shape == (2, 4, 4, 5)
    torch.testing.assert_close(local["1"], network[1](clip(images))[:, :, 0])


def test_what_the_global_token_is(rng):
    images = torch.zeros(2, 3, 8, 8)
    tokens = {
        kind: HookedBackbone(Sequences((2, 2), prefix=4), ["block"], prefix_tokens=4, global_token=kind)
        for kind in ("class", "mean", "registers")
    }
    first = {kind: backbone.get_tokens(images).global_["block"][0, 0].item() for kind, backbone in tokens.items()}
    assert first == {"class": 0.0, "mean": 11.0, "registers": 4.0}  # of token numbers 0 to 7, times two
    assert len({backbone.fingerprint()["settings"] for backbone in tokens.values()}) == 3
    with pytest.raises(ValueError, match="global token 'klass'"):
        HookedBackbone(Sequences((2, 2), prefix=4), ["block"], global_token="klass")
