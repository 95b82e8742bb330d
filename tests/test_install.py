"""An installed wheel does what a checkout does: the README's command lines and more, in a folder far from any checkout.

Packages that brainnet needs are those of the running environment; only brainnet itself is built and installed anew.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.tables import unlisted_columns
from tests.toy_files import N_SUBJECTS, shell_lines, smaller, write_toy_files

ROOT = Path(__file__).resolve().parents[1]
FURTHER = ["brainnet demo --out demo", "brainnet demo --shuffled", "brainnet plot run", "brainnet fit --keys",
           "brainnet page demo demo_shuffled --out both.html", "brainnet report demo encoding",
           "brainnet backbones timm --like dinov2",
           "brainnet extract images/ --backbone expansion:small --out features",
           "brainnet rsa time meg.npz --span -0.1 0.9 --model rdms/rdms.npz",
           "brainnet searchlight group maps/sub-* --out group", "brainnet runs rerun rdms --out rdms_again",
]  # fmt: skip

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    _run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(ROOT)], folder)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> dict[str, str]:
    """The environment of a shell in which the wheel, and no checkout, is brainnet."""
    site = tmp_path_factory.mktemp("site")
    _run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)], site)
    path = os.pathsep.join([str(site / "bin"), os.environ["PATH"]])
    return os.environ | {"PYTHONPATH": str(site), "PATH": path, "BRAINNET_HOME": str(site / "home")}


def _run(words: list[str], folder: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(words, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(installed, tmp_path_factory) -> Path:
    """A folder in which every line of the README has run, in order."""
    folder = tmp_path_factory.mktemp("elsewhere")
    write_toy_files(folder)
    for line in [*shell_lines((ROOT / "README.md").read_text()), *FURTHER]:
        line = smaller(line)
        subjects = range(1, N_SUBJECTS + 1 if "sub-01" in line else 2)  # the others' maps, for the group
        for number in subjects:
            _run(["bash", "-c", line.replace("sub-01", f"sub-{number:02d}")], folder, installed)
    return folder


def test_the_wheel_holds_the_package_its_configs_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {Path(name).parts[0] for name in names} == {
        "brainnet",
        next(n for n in names if "dist-info" in n).split("/")[0],
    }
    configs = {Path(name).name for name in names if name.startswith("brainnet/configs/")}
    assert configs == {path.name for path in (ROOT / "configs").glob("*.yaml")}
    page = {Path(name).name for name in names if name.startswith("brainnet/plot/interactive/web/")}
    assert page == {path.name for path in (ROOT / "brainnet" / "plot" / "interactive" / "web").iterdir()}
    sources = {name for name in names if name.endswith(".py")}
    assert sources == {path.relative_to(ROOT).as_posix() for path in (ROOT / "brainnet").rglob("*.py")}


def test_no_checkout_is_at_work(installed, tmp_path):
    found = _run([sys.executable, "-c", "import brainnet; print(brainnet.__file__)"], tmp_path, installed)
    assert found.startswith(installed["PYTHONPATH"])


def test_the_command_lines_run_and_leave_what_they_promise(folder):
    kinds = {
        "demo": "fit", "demo_shuffled": "fit", "run": "fit", "features": "extract", "encoding": "encode", "rdms": "rdm",
        "results": "rsa", "rsa": "rsa", "maps/sub-01": "searchlight", "rdms_again": "rdm",
    }  # fmt: skip
    for name, kind in kinds.items():
        card = json.loads((folder / name / "run.json").read_text())
        assert card["kind"] == kind
        assert card["versions"]["brainnet"]
        assert card["peak_memory_gb"] > 0.05
    assert "searchlight" in json.loads((folder / "group" / "run.json").read_text())["kind"]
    promised = """both.html demo/page.html demo/maps.png demo/maps.svg
        demo/scores.csv demo/metrics.json demo/selectors.npz demo/config.yaml
        demo/model.ckpt predictions/images.txt features/images.txt encoding/encoding.csv encoding/significance.csv
        encoding/differences.csv encoding/voxels encoding/figures rdms/rdms.npz rdms/rdms.csv results/scores.csv
        results/ceilings.csv maps/sub-01/maps.png group/maps.png"""
    assert [name for name in promised.split() if not (folder / name).exists()] == []


def test_every_column_of_every_table_is_explained(folder):
    assert unlisted_columns(folder) == {}
