from __future__ import annotations

import subprocess
import sys

import pytest

from brainnet.backbone import BACKBONES
from brainnet.backbone.networks import installed_version, read_table
from brainnet.cli.listing import described
from brainnet.dataset import DATASETS

PLACES = {
    "backbone": (BACKBONES, ("backbone", "BACKBONES", "families", "brainnet.backbones")),
    "dataset": (DATASETS, ("dataset", "DATASETS", "readers", "brainnet.datasets")),
}


@pytest.mark.parametrize("kind", PLACES)
def test_the_list_is_that_of_the_registry(kind):
    registry, place = PLACES[kind]
    assert described(*place) == {name: (registry[name].__doc__ or "").strip().split("\n")[0] for name in registry}


@pytest.mark.parametrize(
    "words",
    [
        ["--help"], ["backbones"], ["datasets"], ["fit", "--keys"], ["--version"],
        ["backbones", "timm", "--like", "dinov2"], ["backbones", "--method", "simclr", "--json"],
    ],
)  # fmt: skip
def test_what_only_lists_needs_no_torch(words):
    made_with = read_table()[1].values()
    if len(words) > 2 and any(installed_version(library) != made for library, made in made_with):
        pytest.skip("the table is of other versions of the libraries, so that they are asked themselves")
    code = f"""
import sys
from brainnet.cli import app
sys.argv = ["brainnet", *{words!r}]
try:
    app.main()
finally:
    print("loaded", *sorted({{"torch", "pandas", "pytorch_lightning"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "loaded\n" in done.stdout, done.stdout[-300:] + done.stderr[-2000:]
