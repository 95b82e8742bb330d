"""What a report says in words: how a run was made, by its card; what to cite; and what its maps do not say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from brainnet import __version__
from brainnet.dataset import DATASETS, describe_dataset
from brainnet.run.report.html import Html
from brainnet.run.report.series_words import LIMITS, delayed_said, is_series, of_volumes, one_place, series_said

METHODS = {
    "ridge": "ridge regression on the features of one layer at a time, with a penalty chosen for each voxel by "
    "cross-validation within the training images; the best layer of a voxel is chosen by its score there too",
    "banded": "banded ridge regression on all layers together, each layer with a penalty of its own for each voxel, "
    "found by random search with cross-validation within the training images",
    "stacked": "stacked regression: a convex mix, for each voxel, of the cross-validated predictions of one ridge "
    "regression per layer",
    "window": "ridge regression on the tokens of all layers averaged over a Gaussian window of the image, whose place "
    "and width are chosen for each voxel, with the penalty, by exact leave-one-out over the training images",
    "mixed": "ridge regression on a Gaussian window and on the whole image, mixed in shares that are chosen for each "
    "voxel, with window and penalty, by exact leave-one-out over the training images",
}
BIBTEX = {
    "factortopy": """@inproceedings{yang2024brain,
  title={Brain Decodes Deep Nets},
  author={Yang, Huzheng and Gee, James and Shi, Jianbo},
  booktitle={Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year={2024}
}""",
    "bootstrap": """@book{efron1993introduction,
  title={An Introduction to the Bootstrap},
  author={Efron, Bradley and Tibshirani, Robert J.},
  publisher={Chapman and Hall},
  year={1993}
}""",
    "banded": """@article{duprelatour2022feature,
  title={Feature-space selection with banded ridge regression},
  author={{Dupr{\\'e} la Tour}, Tom and Eickenberg, Michael and Nunez-Elizalde, Anwar O. and Gallant, Jack L.},
  journal={NeuroImage},
  volume={264},
  pages={119728},
  year={2022}
}""",
    "stacked": """@article{breiman1996stacked,
  title={Stacked regressions},
  author={Breiman, Leo},
  journal={Machine Learning},
  volume={24},
  pages={49--64},
  year={1996}
}""",
    "window": """@article{styves2018feature,
  title={The feature-weighted receptive field: an interpretable encoding model for complex feature spaces},
  author={St-Yves, Ghislain and Naselaris, Thomas},
  journal={NeuroImage},
  volume={180},
  pages={188--202},
  year={2018}
}""",
    "permutations": """@article{nichols2002nonparametric,
  title={Nonparametric permutation tests for functional neuroimaging: a primer with examples},
  author={Nichols, Thomas E. and Holmes, Andrew P.},
  journal={Human Brain Mapping},
  volume={15},
  pages={1--25},
  year={2002}
}""",
    "fdr": """@article{benjamini1995controlling,
  title={Controlling the false discovery rate: a practical and powerful approach to multiple testing},
  author={Benjamini, Yoav and Hochberg, Yosef},
  journal={Journal of the Royal Statistical Society: Series B},
  volume={57},
  pages={289--300},
  year={1995}
}""",
    "searchlight": """@article{kriegeskorte2006information,
  title={Information-based functional brain mapping},
  author={Kriegeskorte, Nikolaus and Goebel, Rainer and Bandettini, Peter},
  journal={Proceedings of the National Academy of Sciences},
  volume={103},
  pages={3863--3868},
  year={2006}
}""",
    "rsa": """@article{nili2014toolbox,
  title={A toolbox for representational similarity analysis},
  author={Nili, Hamed and Wingfield, Cai and Walther, Alexander and Su, Li and Marslen-Wilson, William and
    Kriegeskorte, Nikolaus},
  journal={PLoS Computational Biology},
  volume={10},
  number={4},
  pages={e1003553},
  year={2014}
}""",
}
BOOTSTRAP = (
    "Intervals are 95 % bootstrap intervals of the mean over voxels: the test images were drawn with "
    "replacement{times}, the voxels kept as they are, and the percentiles moved so that the mean of the resamples is "
    "the estimate (Efron and Tibshirani 1993). They hold for new images of the same kind and the same voxels, not for "
    "new subjects."
)
R = (
    "The score r of a voxel is the Pearson correlation of predicted and measured response over the test images, which "
    "no fit has seen; R2 is its coefficient of determination there. A score of a region is the mean over its voxels."
)

TESTS = (
    "A voxel is above chance by a one-sided permutation test: the images of the responses are shuffled against the "
    "predictions, alike for all voxels. FWE .05 is a family-wise error by the largest score of each permutation, each "
    "voxel's scores less their mean and over their SD (Nichols and Holmes 2002). FDR .05 is a false discovery rate "
    "(Benjamini and Hochberg 1995) of p-values against the permutations of all voxels; there is none where no voxel "
    "passes FWE .05. Differences are paired: both fits are scored on the same resamples of the images."
)


def methods_of(card: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """The paragraphs that say how a run was made.

    Args:
        card: the run card.
        metrics: of a fit what ``metrics.json`` holds; else empty.
    """
    made = {"fit": _of_fit, "encode": _of_encoding, "rsa": _of_rsa}.get(str(card.get("kind")), _of_searchlight)
    version = (card.get("versions") or {}).get("brainnet", "?")
    commit = f", commit {card['commit'][:12]}" if card.get("commit") else ""
    said = made(card, metrics)
    if is_series(card):
        said = [said[0], series_said(card), *said[1:]]
        said = [of_volumes(paragraph) for paragraph in said]
    return [*said, f"All was computed by brainnet {version}{commit}; the command was: {card['command']}"]


def _of_fit(card: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    config, backbone = card.get("config") or {}, card.get("backbone") or {}
    said = [_data(card), _network(backbone) + _preparation(config)]
    readout = str(config.get("MODEL.READOUT"))
    known = {"factortopy": lambda: _factortopy(config, backbone), "delayed": lambda: delayed_said(config)}
    said += known[readout]() if readout in known else [f"The read-out is {readout!r}."]
    kept = (metrics.get("validation") or {}).get("epoch")
    said.append(
        f"It was trained by AdamW (step size {config.get('OPTIMIZER.LR')}, batches of "
        f"{config.get('DATASET.BATCH_SIZE')} images, up to {config.get('TRAINER.MAX_EPOCHS')} passes, seed "
        f"{card.get('seed')}) on the images of {config.get('TRAINER.FIT_ON')}, by the smooth L1 loss with beta "
        f"{config.get('LOSS.BETA')}, plus {config.get('REGULARIZATION.LAMBDA')} times a pull towards even layers and "
        f"scales that falls to 0 over {config.get('REGULARIZATION.DECAY_TOTAL_STEPS')} steps."
        + (f" The weights kept are those of epoch {kept} (counted from 0), chosen by the validation images."
           if kept is not None else "")
    )  # fmt: skip
    if config.get("DATASET.SHUFFLED"):
        said.append("This run is a negative control: every voxel's responses were permuted over images on their own.")
    return [*said, f"{R} {_ceiling(card, 'The share r / ceiling of a region is its mean r over its mean ceiling.')} "
            + BOOTSTRAP.format(times=" 1,000 times")]  # fmt: skip


def _factortopy(config: Mapping[str, Any], backbone: Mapping[str, Any]) -> list[str]:
    window = config.get("MODEL.WINDOW") == "gaussian"
    start = config.get("MODEL.START") == "ridge"
    head = "" if config.get("MODEL.HEAD") == "sum" else "1/D "  # the mean over channels
    where = (
        "averaged over a Gaussian window at the place p with a learned width" if window
        else "sampled bilinearly at the place p"
    )  # fmt: skip
    grid = " by ".join(str(n) for n in config.get("MODEL.GRID") or ())
    return [
        "The read-out is FactorTopy (Yang, Gee and Shi 2024). It predicts the response y of a voxel to an image as",
        Html(
            f'<p class="formula">y = b + {head}∑<sub>d</sub> w<sub>d</sub> · '
            "∑<sub>l</sub> a<sub>l</sub> [ (1 − s) · B<sub>l</sub> t<sub>l</sub>(p) + s · B′<sub>l</sub> g<sub>l</sub> "
            "]<sub>d</sub></p>"
        ),
        f"Here t are the local tokens of layer l on a grid of {grid}, {where}; g is the global token of the layer; B "
        f"and B' are linear maps of each layer to {config.get('MODEL.BOTTLENECK_DIM')} channels d, common to all "
        "voxels. Of each voxel's own are the layer weights a, at least 0 with sum 1 (map Layer: the largest), the "
        "place p in the image from -1 to 1, x to the right and y down (map Space), the scale s from 0, one place, to "
        "1, the whole image (map Scale), the weights w of the channels and the constant b. "
        + {"coords": "The first three are smooth functions of the place on the cortex, through small networks.",
           "free": "The first three are parameters of each voxel."}.get(str(config.get("MODEL.TOPOLOGY")),
            "The first three are smooth functions of the place on the cortex where the data give one, and parameters "
            "of each voxel elsewhere.")
        + (" Training started from a ridge regression over Gaussian windows in closed form." if start else "")
        + (" Beside it a ridge regression on the whole image, in closed form, is mixed into the predictions."
           if config.get("MODEL.FIELD") == "ridge" else ""),
    ]  # fmt: skip


def _of_encoding(card: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    settings, config = card.get("settings") or {}, card.get("config") or {}
    said = [
        _data(one, f"Subject {name}: " if len(card["subjects"]) > 1 else "") for name, one in card["subjects"].items()
    ]
    said += [_network(one) + _preparation(config) for one in (card.get("backbones") or {}).values()]
    said += [f"Features were read from files: {', '.join(card['features'])}."] if card.get("features") else []
    fitted = " and ".join(settings.get("fitted_on") or ["train"])
    known = [f"{name}: {METHODS[name]}." for name in settings.get("methods", ()) if name in METHODS]
    further = [name for name in settings.get("methods", ()) if name not in METHODS]
    said.append(f"Each voxel was predicted linearly from the network, fitted on the images of {fitted}, seed "
                f"{card.get('seed')}; tokens were made features by the pool {settings.get('pool')!r}. "
                + " ".join(known) + (f" Further methods: {', '.join(further)}." if further else ""))  # fmt: skip
    controls = {"shuffled": "shuffled, the same fits to responses permuted over images",
                "random": "random, the same fits to the network with random weights"}  # fmt: skip
    if settings.get("controls"):
        said.append("Controls: " + "; ".join(controls.get(name, name) for name in settings["controls"]) + ".")
    times = f" {settings['n_resamples']:,} times" if settings.get("n_resamples") else ""
    ceilings = [_ceiling(one, "The share of a region is the mean over its voxels of r divided by the ceiling.")
                for one in card["subjects"].values()]  # fmt: skip
    said.append(f"{R} {' '.join(dict.fromkeys(ceilings))} {BOOTSTRAP.format(times=times)}")
    said.append(TESTS)
    return said


def _of_searchlight(card: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    settings = card.get("settings") or {}
    known = {name: value for name, value in settings.items() if name != "fingerprint" and value is not None}
    return [
        "A searchlight (Kriegeskorte, Goebel and Bandettini 2006) moved over the brain. At each center the RDM of the "
        "patterns around it was compared with the RDM of each model. The score is the similarity of the two. "
        "Family-wise p-values compare a score, less the mean of its chance scores and over their SD, with the largest "
        "such number anywhere in each permutation of the conditions. For a group they compare Student's t with the "
        "largest t anywhere in each flip of signs of the subjects. FDR-adjusted ones hold over the centers of a model.",
        f"Settings: {'; '.join(f'{name}: {value}' for name, value in known.items())}.",
    ]


def _of_rsa(card: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    known = {**(card.get("settings") or {}), **(card.get("definitions") or {})}
    known = {name: value for name, value in known.items() if value is not None}
    ceilings = (
        "Ceilings bound the score that any model could reach, given how far the subjects agree: the lower by each "
        "subject against the others, the upper by each subject against all, itself included."
    )
    if "parts" in card:
        said = (
            "The RDM of each subject was predicted by a regression on sets of model RDMs. R2 is on pairs of conditions "
            "that no fit has seen. The unique part of a set is the R2 of all sets less that of the others."
        )
    elif "weights" in known:
        said = (
            "The RDMs of each model were mixed with weights that were fitted to the RDMs of the brain. The score is "
            f"the similarity of the mixture on conditions that no fit has seen. {ceilings}"
        )
    else:
        said = (
            "The RDM of each subject was compared with the RDM of each model (Nili and others 2014)"
            + (", at each time on its own" if "peaks" in card else "") + f". {ceilings}"
        )  # fmt: skip
    return [said, f"Definitions: {'; '.join(f'{name}: {value}' for name, value in known.items())}."]


def _data(card: Mapping[str, Any], front: str = "") -> str:
    data = card.get("data") or {}
    name = str(data.get("name", ""))
    title = describe_dataset(name).get("title") if name in DATASETS else None
    splits = ", ".join(f"{split} {one['n']:,}" for split, one in (card.get("splits") or {}).items())
    return (f"{front}The data set is {f'{title} ({name})' if title else name}, with "
            f"{data.get('n_images', 0):,} images and {data.get('n_voxels', 0):,} voxels. The images of "
            f"each split: {splits}. The run card holds digests of images, responses and splits.")  # fmt: skip


def _network(identity: Mapping[str, Any]) -> str:
    layers = str(identity.get("layers", "")).replace(",", " ").split()
    given = identity.get("preprocessing")
    came = "" if given in (None, "None") else f" Its input came in as {given}."
    return (f"The network is {identity.get('name')} (weights: {str(identity.get('weights'))[:16]}), read "
            f"at {len(layers)} layers: {', '.join(layers)}.{came}")  # fmt: skip


def _preparation(config: Mapping[str, Any]) -> str:
    if not config.get("TOKENS.STANDARDIZE"):
        return ""
    kept = config.get("TOKENS.PCA")
    return (
        " Each channel was brought to mean 0 and SD 1 over the training images"
        + (f", and the first {kept} principal components of each layer were kept" if kept else "")
        + (", each brought to SD 1" if kept and config.get("TOKENS.WHITEN") else "") + "."
    )  # fmt: skip


def _ceiling(card: Mapping[str, Any], share: str) -> str:
    definition = (card.get("noise_ceiling") or {}).get("definition")
    if not definition or str(definition).startswith("none"):
        return f"There is no noise ceiling ({definition or 'the data have no repeats'})."
    said = f"The noise ceiling is the r of a perfect model. Its definition: {definition}."
    return f"{said} {share} Shares are never clipped."


# ---------------------------------------------------------------------- citations


def citations_of(card: Mapping[str, Any]) -> list[str]:
    """BibTeX of brainnet, of what the run used, and of its data sets; each once."""
    version = (card.get("versions") or {}).get("brainnet", __version__)
    found = [
        f"@software{{brainnet,\n  title={{brainnet: deep networks mapped onto brains}},\n  version={{{version}}}\n}}"
    ]
    found += [BIBTEX[key] for key in _keys(card)]
    names = [str((one.get("data") or {}).get("name")) for one in (card, *(card.get("subjects") or {}).values())]
    for name in dict.fromkeys(names):
        if name in DATASETS and describe_dataset(name).get("cite"):
            found.append(describe_dataset(name)["cite"])
    return list(dict.fromkeys(found))


def _keys(card: Mapping[str, Any]) -> list[str]:
    kind, methods = str(card.get("kind")), (card.get("settings") or {}).get("methods") or ()
    if kind == "fit":
        readout = (card.get("config") or {}).get("MODEL.READOUT")
        return ["factortopy", "bootstrap"] if readout in ("factortopy", "delayed") else ["bootstrap"]
    if kind == "encode":
        used = " ".join(methods)
        named = [key for key in ("banded", "stacked", "window") if key in used]
        named += ["window"] if "mixed" in used and "window" not in named else []
        return [*named, *(["factortopy"] if card.get("runs") else []), "bootstrap", "permutations", "fdr"]
    return ["rsa"] if kind == "rsa" else ["searchlight", "permutations", "fdr"]


# ---------------------------------------------------------------------- limits


def limits_of(card: Mapping[str, Any]) -> list[str]:
    """What the maps of a run do not say."""
    config = card.get("config") or {}
    kind = str(card.get("kind"))
    said = [
        "A high score says that the information is there in a linear form, not that the brain computes as the network.",
        "Intervals are over images. They say nothing of other subjects.",
    ]
    if kind == "fit":
        said = [
            "A voxel's layer is where its information is read, give or take a layer: neighboring layers of a network "
            "share most of their variance.",
            "A large layer weight does not prove that the layer matters: small read-out weights can make up for it. "
            "The contributions of layers, beside the weights in the panel of the page, are corrected for that.",
            "The place means something only for voxels that read local tokens, those of a low scale.",
            "Two trainings can give different channel clusters that predict equally well. Single clusters are not to "
            "be interpreted.",
            "Maps fade where the score is low: there the selectors are not determined by the data. The control with "
            "shuffled responses (DATASET.SHUFFLED True) shows what they look like where nothing is found.",
            *said,
        ]
        if one_place(config):
            said = [line for line in said if not line.startswith("The place means")]
        if config.get("MODEL.START") == "ridge":
            said.insert(0, "Training started from ridge, which spreads its weight nearly evenly over the "
                           "layers: maps of layer, scale and channels mean nothing here and are left out.")  # fmt: skip
        if config.get("DATASET.SHUFFLED"):
            said.insert(0, "This is a negative control. Any structure in its maps is an artifact.")
    elif kind == "encode":
        said += [
            "The best layer is the one of the highest score within the training images; where layers score alike, "
            "which one wins is chance.",
            "A place or width of a window says where the voxel is predicted best, which noise and the pictures' own "
            "statistics move; it is no population receptive field that was mapped for its own sake.",
        ]
    else:
        said = [
            "A similar geometry does not say that the same features make it: quite different features can give one "
            "RDM.",
            "A best model is the best of those that were compared.",
        ]
    return [*map(of_volumes, said), *LIMITS] if is_series(card) else said


def bibtex(entries: Sequence[str]) -> Html:
    """Citations as a reader copies them."""
    return Html(f"<pre>{escape(chr(10).join(entries))}</pre>")
