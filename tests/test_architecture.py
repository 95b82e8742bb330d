"""The house keeps its shape: imports go one way, and importing is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "brainnet"

# Row by room. A room imports from rows strictly below its own, and from within itself.
ROWS = {
    "tools": 0,  # the private files at the top: _registry, _checks, _files, _work
    "tokens": 1, "stimuli": 1, "space": 1, "scores": 1, "selection": 1, "config": 1,
    "backbone": 2, "store": 2, "model": 2, "ridge": 2, "rsa": 2,
    "dataset": 3,  # above backbone: a simulated subject is planted in one
    "datamodule": 4, "encode": 4,
    "plot": 5,
    "plmodel": 6,
    "run": 7,
    "cli": 8,
    "__main__": 9,
}  # fmt: skip
READS_CONFIG = {"config", "plmodel", "run", "cli"}
HEAVY = {"open_clip", "timm", "segment_anything", "nilearn", "plotly", "himalaya", "matplotlib", "sklearn", "pandas",
         "torchvision", "pytorch_lightning", "typer", "rich", "rsatoolbox", "h5py", "joblib"}  # fmt: skip


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def room_of(module: str) -> str:
    """'brainnet.backbone.base' -> 'backbone'."""
    name = module.split(".")[1]
    return "tools" if name.startswith("_") and name != "__main__" else name


def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, at module level) for every import in a file, those inside functions included."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found += [(f"{node.module}.{alias.name}", id(node) in top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            raise AssertionError(f"{path.name}:{node.lineno}: relative import; write brainnet.<room>")
    return found


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_go_down_only(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    if parts == ("__init__",):
        return
    room = room_of(".".join(("brainnet", *parts)))
    assert room in ROWS, f"{room} has no row; DESIGN.md says where things go"
    for module, _ in imports(path):
        if module.split(".")[0] != "brainnet" or module in ("brainnet.__version__", "brainnet"):
            continue
        other = room_of(module)
        assert other == room or ROWS[other] < ROWS[room], f"{room} (row {ROWS[room]}) imports {other} ({ROWS[other]})"


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_config_stops_at_the_door(path):
    room = path.relative_to(PACKAGE).with_suffix("").parts[0]
    if room not in READS_CONFIG:
        assert not any(module.startswith("brainnet.config") for module, _ in imports(path))


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_where_used(path):
    place = path.relative_to(PACKAGE).with_suffix("").as_posix()
    lightning = ("plmodel/module", "plmodel/base", "datamodule", "run/callbacks")
    allowed = {"pytorch_lightning"} if place in lightning else set()
    allowed = {"typer", "rich"} if place.startswith("cli/") else allowed
    for module, at_top in imports(path):
        if at_top:
            assert module.split(".")[0] not in HEAVY - allowed, f"{path.name} imports {module} when it is imported"


def test_no_file_imports_itself_in_a_circle():
    files = {".".join(("brainnet", *p.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): p
             for p in sources()}  # fmt: skip
    arrows = {}
    for name, path in files.items():
        reached = set()
        for module, _ in imports(path):
            parts = module.split(".")
            found = next((".".join(parts[:n]) for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in files), None)
            if found not in (None, "brainnet", name) and files[found].name != "__init__.py":
                reached.add(found)
        arrows[name] = reached
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for following in sorted(arrows[name]):
                walk(following, (*way, name))
            done.add(name)

    for name in arrows:
        walk(name, ())


def loaded_by(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(' '.join(sorted({{m.split('.')[0] for m in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    ["import brainnet", "from brainnet.config import get_cfg_defaults", "from brainnet.backbone import ModifiedCLIP",
     "from brainnet.dataset import BrainDataset", "import brainnet.rsa", "from brainnet import plot",
     "import brainnet.ridge"],
)  # fmt: skip
def test_importing_is_cheap(statement):
    assert not loaded_by(statement) & HEAVY
