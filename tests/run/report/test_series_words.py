"""What a report says of a time series: volumes, blocks and delays, and no images."""

import re

from brainnet.run.report.html import Html
from brainnet.run.report.series_words import is_series, of_volumes
from brainnet.run.report.words import citations_of, limits_of, methods_of


def encoding_card(**settings):
    data = {"data": {"name": "nsd", "n_images": 3, "n_voxels": 2}, "splits": {"test": {"n": 3}}}
    return {"kind": "encode", "command": "brainnet encode", "config": {}, "settings": settings, "subjects": {"1": data}}


def series_card(**settings):
    known = {"tr": 1.5, "block": 30.0, "degree": 1, "scale": "run", "cutoff": None}
    config = {"MODEL.READOUT": "delayed", "MODEL.OPTIONS.delays": [1, 2], "MODEL.GRID": [1, 1], "MODEL.HEAD": "sum"}
    return {"kind": "fit", "command": "brainnet fit", "config": {**config, **settings},
            "data": {"name": "mine", "n_images": 300, "n_voxels": 2, "settings": known}, "splits": {"test": {"n": 100}},
            "backbone": {"name": "words", "layers": "0 1"}}  # fmt: skip


def test_a_time_series_has_volumes_blocks_and_delays_and_no_images():
    said = " ".join([*methods_of(series_card(), {}), *limits_of(series_card())])
    assert not re.search(r"\bimages?\b", said, re.IGNORECASE)
    for word in ("300 volumes", "every 1.5 s", "blocks of 30 s", "delays 1, 2 in volumes", "test volumes", "latency"):
        assert word in said
    assert "yang2024brain" in "\n".join(citations_of(series_card()))
    assert "Space" in " ".join(methods_of(series_card(**{"MODEL.GRID": [1, 8]}), {}))
    encoding = encoding_card(methods=["ridge"], controls=["shuffled"])
    assert "images" in " ".join(methods_of(encoding, {}))
    encoding["subjects"]["1"]["data"]["settings"] = series_card()["data"]["settings"]
    said = " ".join(methods_of(encoding, {}))
    assert "images" not in said
    assert "blocks of 30 s" in said


def test_formulas_stay_and_series_are_told_by_their_settings():
    formula = Html("<p>an image</p>")
    assert of_volumes(formula) is formula
    assert of_volumes("Each image of an image, imagery") == "Each volume of a volume, imagery"
    assert is_series(series_card())
    assert not is_series({"kind": "searchlight"})
    assert not is_series(encoding_card())
