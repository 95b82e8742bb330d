"""What a report says of cards: methods, citations, limits."""

import re

from brainnet.run.record.runs import read_run
from brainnet.run.report.words import BIBTEX, METHODS, citations_of, limits_of, methods_of


def encoding_card(**settings):
    data = {"data": {"name": "nsd", "n_images": 3, "n_voxels": 2}, "splits": {"test": {"n": 3}},
            "noise_ceiling": {"definition": "from the variance of three repeats"}}  # fmt: skip
    return {"kind": "encode", "command": "brainnet encode", "config": {}, "settings": settings, "subjects": {"1": data}}


def test_methods_of_a_fit_are_those_of_its_card(mapped):
    out, metrics, data, _, _ = mapped
    _, card = read_run(out)
    said = " ".join(methods_of(card, metrics))
    assert card["backbone"]["name"] in said
    assert f"test {len(data.splits['test'])}" in said
    assert f"epoch {metrics['validation']['epoch']} " in said
    assert f"step size {card['config']['OPTIMIZER.LR']}," in said
    assert ("1/D" in said) == (card["config"]["MODEL.HEAD"] == "mean")
    gaussian = {**card, "config": {**card["config"], "MODEL.WINDOW": "gaussian", "MODEL.HEAD": "sum"}}
    assert "Gaussian window" in " ".join(methods_of(gaussian, metrics))
    assert "1/D" not in " ".join(methods_of(gaussian, metrics))


def test_the_ceilings_own_definition_is_said():
    card = encoding_card(methods=["ridge", "mine"], n_resamples=50, controls=["shuffled"])
    said = " ".join(methods_of(card, {}))
    assert "from the variance of three repeats" in said
    assert METHODS["ridge"] in said
    assert "mine" in said
    assert " 50 times" in said
    card["subjects"]["1"]["noise_ceiling"]["definition"] = None
    assert "no noise ceiling" in " ".join(methods_of(card, {}))


def test_what_was_used_is_cited_once():
    cited = "\n".join(citations_of(encoding_card(methods=["banded", "window", "mixed"])))
    keys = re.findall(r"@\w+\{([^,]+),", cited)
    assert len(set(keys)) == len(keys)
    assert {"allen2022massive", "duprelatour2022feature", "styves2018feature", "brainnet"} <= set(keys)
    assert "yang2024brain" not in keys
    assert "yang2024brain" in "\n".join(citations_of({"kind": "fit", "config": {"MODEL.READOUT": "factortopy"}}))
    assert all(text.count("{") == text.count("}") for text in BIBTEX.values())


def test_limits_are_those_of_the_kind():
    fit = " ".join(limits_of({"kind": "fit", "config": {}}))
    assert "layer" in fit
    assert "negative control" not in fit
    assert "negative control" in limits_of({"kind": "fit", "config": {"DATASET.SHUFFLED": True}})[0]
    assert "ridge" in limits_of({"kind": "fit", "config": {"MODEL.START": "ridge"}})[0]
    assert "RDM" in " ".join(limits_of({"kind": "searchlight"}))
