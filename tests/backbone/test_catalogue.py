"""The networks there are: a file of the folder of families is one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from brainnet.backbone import families
from brainnet.backbone.catalogue import BACKBONES


def test_every_file_of_the_folder_is_a_family():
    files = {path.stem for path in Path(families.__path__[0]).glob("[!_]*.py")}
    assert files <= set(BACKBONES.names())
    assert all(callable(BACKBONES[name]) for name in files)


def test_an_unknown_family_meets_the_nearest():
    with pytest.raises(ValueError, match="backbone 'torchvison'.*'torchvision'"):
        BACKBONES.build("torchvison:resnet50")


def test_names_are_listed_without_importing_any_family():
    code = (
        "import sys; from brainnet.backbone.catalogue import BACKBONES; before = set(sys.modules); "
        "print('timm' in BACKBONES, [m for m in set(sys.modules) - before if 'families.' in m or m == 'timm'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True []"
