"""The house keeps its shape: imports go one way, importing is cheap, files stay small, and every file has its tests.

What does not hold yet is listed here by name. These lists only get shorter: what is not listed is refused, and so is an
entry that is no longer needed.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "brainnet"

# Row by room. A room imports from rows strictly below its own, and from within itself.
ROWS = {
    "tools": 0,  # the private files and the room _files at the top: _registry, _checks, _work, _notebook
    "tokens": 1, "stimuli": 1, "space": 1, "scores": 1, "selection": 1, "config": 1, "series": 1,
    "backbone": 2, "store": 2, "model": 2, "ridge": 2, "rsa": 2,
    "features": 3,
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
         "torchvision", "pytorch_lightning", "typer", "rich", "rsatoolbox", "h5py", "joblib",
         "transformers", "av", "mne"}  # fmt: skip
ONLY_ON_UNIX = {"resource", "fcntl", "pwd", "grp", "termios", "tty", "pty", "curses", "syslog"}
DOORS = 8  # files at the top of the package, at most
LINES, LINES_OF_ONE_JOB, CODE_LINES = 400, 500, 60

# files above 400 lines, each with its one job
ONE_JOB = {
    "backbone/families/original": "the published backbones",
    "cli/rsa": "the commands of geometry",
    "model/factortopy": "the read-out FactorTopy",
    "plmodel/module": "the LightningModule",
    "ridge/cross_validation": "ridge with a penalty per voxel, by cross-validation",
    "space/brain_space": "the class BrainSpace",
    "store/store": "the class TokenStore",
}
TOO_LONG: set[str] = set()
# functions of more than 60 code lines, docstring, comments and empty lines not counted
LONG_FUNCTIONS = {"cli/encode:encode", "store/store:build"}
WITHOUT_SOURCE = {
    "rsa/inference/calibration": "slow: how often the tests of this room reject noise",
    "rsa/real_data": "published RDMs",
}
# functions of more parameters than this, each with its reason; the commands of cli/ and GPU kernels are not counted
MOST_PARAMETERS = 12
MANY_PARAMETERS = {
    "run/extraction/extraction:extract": "the public call behind a command: one for each of its options, by keywords",
    "backbone/families/transformers:build": "the options of four kinds of networks behind one name, by keywords",
    "backbone/hooks:__init__": "one for each way in which a network's maps may lie, by keywords",
    "dataset/arrays:__init__": "each is one thing a person may know of data of their own; flat, as examples give them",
    "encode/grid:encode": "the documented call, by keywords; a settings object would be one more thing to learn",
    "model/factortopy:__init__": "published names",
    "plot/brain/folded:cortex": "what a person may set of a picture, by keywords, as for the other maps",
    "plot/selector/maps:selectors": "what is known of a voxel, by keywords, as the README gives it",
    "rsa/search/subject:searchlight": "the documented call; what workers need of it is one object, Work",
    "store/store:build": "the documented call, by keywords; each is independent of the others",
}
CIRCLES: set[str] = set()  # files that need each other, one of them only when a function is called
# rooms and files of tests that mirror none of the package
TESTS_OF_THE_WHOLE = {
    "contract", "plugin", "test_architecture", "test_examples", "test_install", "test_readme", "test_user_story",
    "test_site", "test_changes", "test_studies",
}  # fmt: skip
# what changes the interpreter or the C library of a whole process: only where the command line starts
PROCESS_TRICKS = {"mallopt", "_exit", "_run_exitfuncs", "gc.disable", "gc.enable", "gc.freeze", "gc.set_threshold"}


def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def place_of(path: Path) -> str:
    """'backbone/base' of brainnet/backbone/base.py."""
    return path.relative_to(PACKAGE).with_suffix("").as_posix()


def room_of(module: str) -> str:
    """'brainnet.backbone.base' -> 'backbone'."""
    name = module.split(".")[1]
    return "tools" if name.startswith("_") and name != "__main__" else name


def room_of_file(path: Path) -> str:
    return room_of(".".join(("brainnet", *path.relative_to(PACKAGE).with_suffix("").parts)))


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path: Path) -> list[tuple[str, bool]]:
    """(module, at module level) for every import in a file, those inside functions included."""
    tree = tree_of(path)
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


def only_shrinks(found: Iterable[str], listed: Iterable[str], what: str) -> None:
    """Fails where something is found that is not listed, or listed that is not found."""
    found, listed = set(found), set(listed)
    new, gone = sorted(found - listed), sorted(listed - found)
    assert not new, f"{what}:\n  " + "\n  ".join(new)
    assert not gone, f"mended, so take off the list in {Path(__file__).name} ({what}):\n  " + "\n  ".join(gone)


# ---------------------------------------------------------------------- imports


def test_imports_go_down_only():
    wrong = []
    for path in sources():
        if path.parent == PACKAGE and path.stem == "__init__":
            continue
        room = room_of_file(path)
        assert room in ROWS, f"{room} has no row; CONTRIBUTING.md says where things go"
        for module, _ in imports(path):
            if module.split(".")[0] == "brainnet" and module not in ("brainnet.__version__", "brainnet"):
                other = room_of(module)
                if other != room and ROWS[other] >= ROWS[room]:
                    wrong.append(f"{place_of(path)} (row {ROWS[room]}) imports {other} (row {ROWS[other]})")
    assert not wrong, "\n".join(wrong)


def test_no_text_names_a_module_of_a_higher_row():
    """A module named in a string is an import that the test above cannot see; docstrings may point anywhere."""
    wrong = []
    for path in sources():
        tree, room = tree_of(path), room_of_file(path)
        docstrings = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and node.body
            if isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
                for other in re.findall(r"\bbrainnet\.([a-z_]+)", node.value):
                    if ROWS.get(other, 0) > ROWS[room]:
                        wrong.append(f"{place_of(path)}:{node.lineno} (row {ROWS[room]}) names brainnet.{other}")
    assert not wrong, "\n".join(wrong)


def test_config_stops_at_the_door():
    wrong = [
        place_of(path)
        for path in sources()
        if path.relative_to(PACKAGE).with_suffix("").parts[0] not in READS_CONFIG
        and any(module.startswith("brainnet.config") for module, _ in imports(path))
    ]
    assert not wrong, wrong


def test_heavy_packages_are_imported_where_used():
    of_lightning = {"plmodel/base", "plmodel/module", "datamodule", "run/fitting/training", "run/fitting/callbacks"}
    wrong = []
    for path in sources():
        place = place_of(path)
        allowed = {"typer", "rich"} if place.startswith("cli/") else set()
        allowed |= {"pytorch_lightning"} if place in of_lightning else set()
        heavy = {module.split(".")[0] for module, at_top in imports(path) if at_top} & (HEAVY - allowed)
        wrong += [f"{place} imports {module} when it is imported" for module in sorted(heavy)]
    assert not wrong, "\n".join(wrong)


def test_what_only_unix_has_is_imported_where_used():
    wrong = {
        place_of(p): m for p in sources() for m, at_top in imports(p) if at_top and m.split(".")[0] in ONLY_ON_UNIX
    }
    assert not wrong, wrong


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
    done, circles = set(), set()

    def walk(name: str, way: tuple[str, ...]) -> None:
        if name in way:
            circle = sorted(place_of(files[one]) for one in way[way.index(name) :])
            circles.add(" <-> ".join(circle))
        elif name not in done:
            for following in sorted(arrows[name]):
                walk(following, (*way, name))
            done.add(name)

    for name in arrows:
        walk(name, ())
    only_shrinks(circles, CIRCLES, "files that import each other")


def test_importing_is_cheap():
    statements = [
        "import brainnet", "from brainnet.config import get_cfg_defaults", "from brainnet.backbone import ModifiedCLIP",
        "from brainnet.dataset import BrainDataset", "import brainnet.rsa", "from brainnet import plot",
        "import brainnet.ridge",
    ]  # fmt: skip
    code = "import sys\n" + "\n".join(
        f"{statement}\nprint({statement!r}, *sorted({{m.split('.')[0] for m in sys.modules}}), sep=';')"
        for statement in statements
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wrong = [
        f"{statement} loads {', '.join(heavy)}"
        for statement, *loaded in (line.split(";") for line in done.stdout.splitlines())
        if (heavy := sorted(HEAVY & set(loaded)))
    ]
    assert len(done.stdout.splitlines()) == len(statements)
    assert not wrong, "\n".join(wrong)


# ---------------------------------------------------------------------- names


def test_nothing_public_has_the_name_of_a_module_of_its_room():
    """``import brainnet.rsa.searchlight as m`` must give the module, and ``brainnet.rsa.searchlight`` one thing."""
    wrong = []
    for init in PACKAGE.rglob("__init__.py"):
        room = ".".join(init.parent.relative_to(ROOT).parts)
        rooms = {path.parent.name for path in init.parent.glob("*/__init__.py")}
        modules = {path.stem for path in init.parent.glob("*.py")} | rooms
        public = set(getattr(import_module(room), "__all__", ()))
        wrong += [f"{room}.{name} is a module and something else" for name in sorted(public & modules)]
    assert not wrong, "\n".join(wrong)


# ---------------------------------------------------------------------- sizes


def test_the_top_level_holds_only_doors():
    assert len(list(PACKAGE.glob("*.py"))) <= DOORS


def test_files_are_short():
    lines = {place_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    only_shrinks({p for p, n in lines.items() if n > LINES_OF_ONE_JOB}, TOO_LONG, f"above {LINES_OF_ONE_JOB} lines")
    longer = {place for place, n in lines.items() if LINES < n <= LINES_OF_ONE_JOB}
    only_shrinks(longer, ONE_JOB, f"above {LINES} lines; part it, or say which one job it has")


def code_lines(function: ast.AST, text: list[str]) -> int:
    """Lines of a function that are neither empty, comment nor docstring."""
    first = function.body[0]
    has_docstring = isinstance(first, ast.Expr) and isinstance(getattr(first.value, "value", None), str)
    skipped = set(range(first.lineno, first.end_lineno + 1)) if has_docstring else set()
    numbers = set(range(function.lineno, function.end_lineno + 1)) - skipped
    return sum(bool(line := text[number - 1].strip()) and not line.startswith("#") for number in numbers)


def long_functions() -> Iterator[str]:
    for path in sources():
        text = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef) and code_lines(node, text.splitlines()) > CODE_LINES:
                yield f"{place_of(path)}:{node.name}"


def test_functions_are_short():
    only_shrinks(long_functions(), LONG_FUNCTIONS, f"above {CODE_LINES} code lines")


def functions_of_many_parameters() -> Iterator[str]:
    for path in sources():
        if place_of(path).startswith("cli/"):
            continue
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef) and "triton.jit" not in "".join(map(ast.unparse, node.decorator_list)):
                names = [one.arg for one in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                if len(set(names) - {"self", "cls"}) > MOST_PARAMETERS:
                    yield f"{place_of(path)}:{node.name}"


def test_functions_have_few_parameters():
    only_shrinks(
        functions_of_many_parameters(), MANY_PARAMETERS, f"more than {MOST_PARAMETERS} parameters; group or part them"
    )


def test_process_tricks_stay_in_one_file():
    wrong = []
    for path in sources():
        if place_of(path) != "cli/process":
            names = {ast.unparse(node) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)}
            used = sorted(name for name in names if name in PROCESS_TRICKS or name.split(".")[-1] in PROCESS_TRICKS)
            wrong += [f"{place_of(path)} uses {name}" for name in used]
    assert not wrong, "\n".join(wrong)


# ---------------------------------------------------------------------- tests


def mirrored() -> tuple[set[str], set[str]]:
    """Files of the package and files of tests, each as 'room/file', or 'file' at the top; _canvas is 'canvas'."""
    ours = {
        re.sub(r"(^|/)_(\w+)$", r"\1\2", place_of(path))
        for path in sources()
        if path.stem not in ("__init__", "__main__")
    }
    tests = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        *rooms, name = path.relative_to(ROOT / "tests").with_suffix("").parts
        if not TESTS_OF_THE_WHOLE & {*rooms[:1], name}:
            tests.add("/".join((*rooms, name.removeprefix("test_"))))
    return ours, tests


def test_every_file_has_its_tests():
    """brainnet/rsa/ranks.py has tests/rsa/test_ranks.py; a private file, _registry.py, has test_registry.py."""
    ours, tests = mirrored()
    assert not ours - tests, f"without a file of tests under tests/: {sorted(ours - tests)}"


def test_all_tests_are_of_a_file():
    ours, tests = mirrored()
    only_shrinks(tests - ours, WITHOUT_SOURCE, "tests of no file under brainnet/")


if __name__ == "__main__":  # what the lists above would have to hold now
    sizes = {place_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in sources()}
    print("TOO_LONG", sorted(place for place, n in sizes.items() if n > LINES_OF_ONE_JOB))
    print("ONE_JOB", sorted(place for place, n in sizes.items() if LINES < n <= LINES_OF_ONE_JOB))
    print("LONG_FUNCTIONS", sorted(long_functions()))
