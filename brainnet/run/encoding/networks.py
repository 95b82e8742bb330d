"""The networks of an encoding: what each is built from, checked before any work, and their tokens.

A network is built, asked or read, and let go before the next one is built: what stays of it is a description and its
token stores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from yacs.config import CfgNode

from brainnet._files import slug
from brainnet._registry import options_of
from brainnet._work import at_work, device_of
from brainnet.backbone import BACKBONES, full_name
from brainnet.backbone.adjusted import build_adjusted
from brainnet.dataset import ResponseDataset, TimeSeries, volume_tokens
from brainnet.dataset.shown import stimuli_shown
from brainnet.run.encoding.series import Delays, of_layers
from brainnet.run.forecast import say_tokens
from brainnet.run.record.claiming import speaking_of_the_store
from brainnet.store import TokenStore, choose_preprocessing, fingerprint_of
from brainnet.tokens import Preprocessing


@dataclass(frozen=True, eq=False)
class Network:
    """What a backbone is built from, and what is known of it.

    Args:
        label: its name in the table.
        name: "family:variant".
        options: of its family: weights, layers, precision and what else the user chose.
        layers: those to fit; None takes all.
        known_layers: those it has; None where it does not say.
        fingerprint: of its name, layers and weights.
        twin: the same network with random weights, or None.
    """

    label: str
    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    layers: tuple[str, ...] | None = None
    known_layers: tuple[str, ...] | None = None
    fingerprint: Mapping[str, str] = field(default_factory=dict)
    twin: Network | None = None

    def build(self) -> Any:
        """The backbone itself, anew at each call."""
        return build_adjusted(self.name, **self.options)


def plan_networks(
    cfg: CfgNode,
    backbones: Sequence[str],
    precision: str | None = None,
    image_size: tuple[int, int] | None = None,
) -> list[Network]:
    """The networks asked for, or the config's own; whose layers, options and weights go to its own network alone.

    Args:
        cfg: settings.
        backbones: "family:variant", or "family:variant=weights"; none takes the config's.
        precision, image_size: of every network, in place of what the config says; see
            :func:`brainnet.backbone.adjusted.build_adjusted`.
    """
    asked = {"precision": precision, "image_size": image_size}
    asked = {option: value for option, value in asked.items() if value is not None}
    wanted = []
    for text in backbones or [cfg.BACKBONE.NAME]:
        name, equals, weights = text.partition("=")
        own = name == cfg.BACKBONE.NAME
        wanted.append((name, weights if equals else cfg.BACKBONE.WEIGHTS if own else "", own))
    names = [name for name, *_ in wanted]
    networks: dict[str, Network] = {}
    for name, weights, own in wanted:
        plain = names.count(name) == 1 and weights != "random"  # no table shows an untrained one as the trained
        label = name if plain else f"{name}={Path(weights).stem or 'default'}"
        if label in networks:
            raise ValueError(f"--backbone names {label} twice.")
        networks[label] = Network(label, name, _options(cfg, name, weights, own) | asked)
    return list(networks.values())


def _options(cfg: CfgNode, name: str, weights: str, own: bool) -> dict[str, Any]:
    options = dict(cfg.BACKBONE.OPTIONS) if own else {}
    if weights:
        options["weights"] = weights
    if own and cfg.MODEL.LAYERS:
        options["layers"] = list(cfg.MODEL.LAYERS)
    # "auto" is whatever suits the machine: a family that knows one precision suits it
    taken = options_of(BACKBONES.factory(name)) or ()
    precision = cfg.BACKBONE.PRECISION
    if own and precision != "fp32" and (precision != "auto" or "precision" in taken):
        options["precision"] = precision
    return options


def check_networks(
    networks: Sequence[Network],
    layers: Sequence[str],
    random_twins: bool,
    seed: int,
    files: Mapping[str, Sequence[str]] | None = None,
) -> tuple[list[Network], dict[str, Any]]:
    """Every network asked what it has, one at a time; and, where there is one alone, that network as it was built.

    Args:
        networks: as :func:`plan_networks` gives them.
        layers: those asked for; none takes all.
        random_twins: whether each needs one.
        seed: of the twins' weights.
        files: name -> layers of features in files, which stand beside the networks.

    Raises:
        ValueError: a layer that no network has, a network with none of the layers, or one without a random twin.
    """
    known, built = [], {}
    for network in networks:
        backbone = network.build()
        has = getattr(backbone, "layers", None)
        alone = len(networks) == 1 and not files
        if layers and has is not None and alone and not set(layers) <= set(has):
            network = replace(network, options={**network.options, "layers": list(layers)})
            backbone = network.build()  # a lone one may be asked for any of its modules
            layers = has = tuple(backbone.layers)  # patterns have become names
        mine = None if not layers else tuple(k for k in layers if has is None or k in has)
        known_layers = None if has is None else tuple(has)
        network = replace(network, layers=mine, known_layers=known_layers, fingerprint=fingerprint_of(backbone))
        if random_twins:
            network = replace(network, twin=_random_twin(network, backbone, seed))
        if len(networks) == 1:
            built[network.label] = backbone
        known.append(network)
        del backbone
    given = [Network(label, label, {}, tuple(k for k in layers if k in has), tuple(has))
             for label, has in (files or {}).items()]  # fmt: skip
    _check_layers([*known, *given], layers)
    return known, built


def _check_layers(networks: Sequence[Network], layers: Sequence[str]) -> None:
    known = {network.label: list(network.known_layers or network.layers or ()) for network in networks}
    lost = [layer for layer in layers if not any(layer in names for names in known.values())]
    if lost:
        listing = "; ".join(f"{label} has {', '.join(names)}" for label, names in known.items())
        raise ValueError(f"no network has a layer {lost[0]!r}: {listing}.")
    for network in networks if layers else ():
        if not network.layers:
            raise ValueError(
                f"{network.label} has none of the layers {', '.join(layers)}; it has {', '.join(known[network.label])}."
            )


def _random_twin(network: Network, backbone: Any, seed: int) -> Network:
    """The same architecture, layers, settings and preprocessing with seeded weights."""
    options = {name: value for name, value in network.options.items() if name != "weights"} | {"weights": "random"}
    already = network.options.get("weights") == "random"
    twin = replace(network, options=options)
    if not already:
        if hasattr(backbone, "layers"):
            options["layers"] = list(backbone.layers)
        if hasattr(backbone, "preprocessing"):
            options["preprocessing"] = backbone.preprocessing
        own, weights = dict(getattr(backbone, "settings", {})), network.fingerprint.get("weights")
        try:
            settings = getattr(replace(twin, options={**options, "seed": seed}).build(), "settings", {})
            options |= {name: value for name, value in own.items() if settings.get(name) != value}
            # published weights may bring an activation or an image size of their own
            twin = replace(twin, options={**options, "seed": seed})
            prints = [fingerprint_of(one.build()) for one in (twin, replace(twin, options=options))]
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"{network.label} has no random twin ({error}). Leave out --controls random, or that network."
            ) from error
        already = weights in {found.get("weights") for found in prints}
        twin = replace(twin, fingerprint=prints[0])
    if already:
        raise ValueError(f"{network.name} has random weights already: leave out --controls random, or that network.")
    return twin


Stores = dict[str, dict[str, TokenStore]]


class Built(NamedTuple):
    """Network -> subject -> tokens, of the networks and of their random twins; and what makes such tokens again."""

    stores: Stores
    twins: Stores
    described: dict[str, dict[str, dict[str, Any]]]


def build_stores(
    cfg: CfgNode,
    networks: Sequence[Network],
    built: dict[str, Any],
    data: Mapping[str, ResponseDataset],
    out: Path,
    n_jobs: int,
    device: str | None = None,
    delays: Delays = (),
    force: bool = False,
    progress: bool = True,
) -> Built:
    """The tokens of every network and subject; networks are let go one by one.

    One store alone, for one process, stays in memory where ``TOKENS.STORE`` is empty; several would not fit, nor could
    processes share them, so they are files.

    Args:
        cfg: settings of tokens and token grid.
        networks: as :func:`check_networks` gives them.
        built: networks at hand; they are taken out.
        data: subject -> data set.
        out: folder of the results.
        n_jobs: number of processes that read the tokens.
        device: where the networks work; None leaves that to :func:`brainnet._work.device_of`.
        delays: of a time series, whose stimuli the networks are asked for: a store then has a row per volume.
        force: begin also where the tokens do not fit.
        progress: show progress bars.
    """
    n_stores = len(data) * sum(1 + (network.twin is not None) for network in networks)
    in_memory = n_stores == 1 and n_jobs == 1 and not cfg.TOKENS.STORE
    place, described = device_of(device), {}

    def tokens_of(network: Network, control: str) -> dict[str, TokenStore]:
        backbone = None if control else built.pop(network.label, None)
        backbone = network.build() if backbone is None else backbone
        found, network_of = {}, {}
        for subject, dataset in data.items():
            words = (network.label if len(networks) > 1 else "", subject if len(data) > 1 else "", control)
            path = None if in_memory else _store_path(cfg.TOKENS.STORE, out, words)
            how = {"grid": tuple(cfg.MODEL.GRID), "resize": cfg.MODEL.RESIZE, "batch_size": cfg.TOKENS.BATCH_SIZE}
            is_series = isinstance(dataset, TimeSeries)
            shown = stimuli_shown(dataset, getattr(backbone, "reads", "image")) if is_series else dataset
            with at_work(backbone, place):
                say_tokens(backbone, shown, path, out, force, of=f"forecast of the tokens of {network.label}", **how)
                with speaking_of_the_store():
                    store = TokenStore.build(backbone, shown, path=path, progress=progress, **how)
            own = of_layers(delays, store.layers)
            # not centered: the weights of a fit center what they read, and are then those of new stimuli too
            found[subject] = volume_tokens(dataset, store, own, center=False) if is_series else store
            own = {k: list(v) for k, v in own.items()} if isinstance(own, Mapping) else list(own)
            timing = {"series": {"tr": dataset.tr, "delays": own}} if is_series else {}
            network_of[subject] = _described(network, cfg, choose_preprocessing(dataset, backbone)) | timing
        if not control:
            described[network.label] = network_of
        return found

    stores = {network.label: tokens_of(network, "") for network in networks}
    twins = {network.label: tokens_of(network.twin, "random") for network in networks if network.twin is not None}
    return Built(stores, twins, described)


def _described(network: Network, cfg: CfgNode, preprocessing: Any) -> dict[str, Any]:
    """What makes tokens like these of other stimuli: plain values, kept with the weights."""
    options = dict(network.options)
    if isinstance(options.get("weights"), str) and Path(options["weights"]).is_file():
        options["weights"] = str(Path(options["weights"]).resolve())
    return {
        "name": full_name(network.name),
        "options": options,
        "preprocessing": asdict(preprocessing) if isinstance(preprocessing, Preprocessing) else None,
        "fingerprint": {key: value for key, value in network.fingerprint.items() if key != "layers"},
        "grid": list(cfg.MODEL.GRID),
        "resize": cfg.MODEL.RESIZE,
    }


def _store_path(store: str, out: Path, words: Sequence[str]) -> Path:
    """Where one of several token stores lies; a single one is where ``fit`` keeps its own."""
    base = Path(store) if store else out / "tokens" / "tokens.bin"
    return base.with_name("_".join([base.stem, *map(slug, filter(None, words))]) + base.suffix)
