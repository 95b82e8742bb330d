"""Pages of the API reference: one for each room of the house, and one for each name in the room's ``__all__``."""

from __future__ import annotations

import ast
import inspect
import pprint
import re
from importlib import import_module
from pathlib import Path
from typing import Any

from made_pages import commands

from brainnet._registry import Registry

# rooms in the order in which data go through them, and what each is for
ROOMS = {
    "brainnet": "the two functions that need no other import",
    "brainnet.tokens": "what a network gives",
    "brainnet.stimuli": "what was shown",
    "brainnet.space": "where a voxel lies: surfaces, volumes, sensors, atlases",
    "brainnet.backbone": "networks",
    "brainnet.dataset": "images with the responses to them",
    "brainnet.store": "the tokens of every image, computed once",
    "brainnet.features": "tables made from tokens, and their files",
    "brainnet.datamodule": "splits and batches",
    "brainnet.selection": "the choice of layer, place and scale",
    "brainnet.model": "read-outs",
    "brainnet.plmodel": "training with PyTorch Lightning",
    "brainnet.ridge": "estimators of linear encoding",
    "brainnet.encode": "the grid of networks, subjects, methods and layers",
    "brainnet.scores": "scores, noise ceilings, intervals and tests",
    "brainnet.rsa": "representational similarity",
    "brainnet.plot": "figures",
    "brainnet.config": "settings",
    "brainnet.run": "what each command does, as a function",
}
DOCS = Path(__file__).resolve().parents[1]
FACES = {"brainnet.datamodule": ["BrainDataModule"]}  # a file that is no room, and so has no list of its names


def names_of(room: str) -> list[str]:
    """Public names of a room."""
    return list(FACES.get(room) or import_module(room).__all__)


def pages() -> dict[str, str]:
    """File name to text, of every page of the reference."""
    found, callers, mentions = {"api/index.rst": _index()}, commands_by_function(), pages_by_name()
    for room in ROOMS:
        found[f"api/{room}.rst"] = _room_page(room)
        for name in names_of(room):
            full = f"{room}.{name}"
            links = _links("In a terminal", [(f"/generated/commands/{one.replace(' ', '_')}", one)
                                             for one in callers.get(full, ())])  # fmt: skip
            links += _links("Pages that use it", [(f"/{page}", title) for page, title in mentions.get(full, ())])
            found[f"api/{_page_of(room, name)}.rst"] = _name_page(room, name, links)
    return found


def commands_by_function() -> dict[str, list[str]]:
    """Public name of a function -> the commands that call it, whose pages have lines to copy."""
    found: dict[str, list[str]] = {}
    for command, one in commands().items():
        source = inspect.getsource(inspect.unwrap(one.callback))
        for room, before in (("brainnet.run", r"(?<![\w.])"), ("brainnet", r"(?<!\w)brainnet\.")):
            for name in names_of(room):
                if re.search(rf"{before}{name}(?:\(| as \w)", source):
                    found.setdefault(f"{room}.{name}", []).append(command)
    return found


def pages_by_name() -> dict[str, list[tuple[str, str]]]:
    """Public name -> page and title of every written page that imports it, calls it by its room or links to it."""
    found: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(DOCS.glob("*.md")) + sorted(DOCS.glob("[!_gd]*/*.md")):
        text = path.read_text(encoding="utf-8")
        title = text.partition("\n")[0].lstrip("# ")
        for room in ROOMS:
            lines = re.findall(rf"^from {re.escape(room)}(?:\.\w+)* import (.+)$", text, flags=re.MULTILINE)
            imported = {word.strip().partition(" ")[0] for line in lines for word in line.split(",")}
            for name in names_of(room):
                called = rf"(?<![\w.]){room.rpartition('.')[2]}\.{name}\("
                if name in imported or re.search(rf"`~?{re.escape(room)}\.{name}`|{called}", text):
                    found.setdefault(f"{room}.{name}", []).append(
                        (path.relative_to(DOCS).with_suffix("").as_posix(), title)
                    )
    return found


def _links(heading: str, targets: list[tuple[str, str]]) -> str:
    """A heading with a list of pages, or nothing."""
    if not targets:
        return ""
    rows = "".join(f"* :doc:`{title.replace('`', '')} <{page}>`\n" for page, title in targets)
    return f"\n{heading}\n{'-' * len(heading)}\n\n{rows}"


def aliases() -> dict[str, str]:
    """Names under which annotations and docstrings know a public thing, each with its public name.

    A name that two rooms use for different things stands for neither.
    """
    found: dict[str, set[str]] = {}
    home: dict[int, str] = {}
    for room in ROOMS:
        module = import_module(room)
        for name in names_of(room):
            thing = getattr(module, name)
            public = home.setdefault(id(thing), f"{room}.{name}") if callable(thing) else f"{room}.{name}"
            where = getattr(thing, "__module__", None) or ""
            words = {name, public, f"{room}.{name}"} | ({f"{where}.{name}"} if where.startswith("brainnet") else set())
            for word in words:
                found.setdefault(word, set()).add(public)
            for member in vars(thing) if inspect.isclass(thing) else ():
                if not member.startswith("_"):
                    found.setdefault(f"{name}.{member}", set()).add(f"{public}.{member}")
    return {word: next(iter(publics)) for word, publics in found.items() if len(publics) == 1}


def own_names(package: Path) -> set[str]:
    """Names of all classes, functions and constants in the files of a package, public or not."""
    found: set[str] = set()
    for path in package.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                found.add(node.name)
            elif isinstance(node, ast.Assign):
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found.add(node.target.id)
    return found


def _page_of(room: str, name: str) -> str:
    """Name of a page: files of macOS and Windows do not tell ``RDMs`` from ``rdms``."""
    twins = [other for other in names_of(room) if other.lower() == name.lower() and other != name]
    return f"{room}.{name}" + ("-class" if twins and name[0].isupper() else "")


def _index() -> str:
    rows = "".join(f"   * - :doc:`{room} <{room}>`\n     - {what}\n" for room, what in ROOMS.items())
    toc = "".join(f"   {room}\n" for room in ROOMS)
    return (
        f"{_title('Every function and class')}"
        "Each name stands on a page of its own, with its arguments, shapes and errors, the source of its formula, and\n"
        "the examples that use it. All examples in docstrings run as tests.\n\n"
        f"::\n\n   from brainnet.rsa import compare, rdm\n\n.. list-table::\n   :widths: 30 70\n\n{rows}\n"
        f".. toctree::\n   :hidden:\n\n{toc}"
    )


def _room_page(room: str) -> str:
    module = import_module(room)
    names = names_of(room)
    rows = "".join(
        f"   * - :doc:`{name} <{_page_of(room, name)}>`\n     - {_first_line(getattr(module, name))}\n"
        for name in names
    )
    toc = "".join(f"   {name} <{_page_of(room, name)}>\n" for name in names)
    lead = inspect.getdoc(module) or ""
    return (
        f"{_title(room)}{lead}\n\n::\n\n   from {room} import {names[0]}\n\n"
        f".. list-table::\n   :widths: 30 70\n\n{rows}\n.. toctree::\n   :hidden:\n\n{toc}"
    )


def _name_page(room: str, name: str, links: str) -> str:
    thing = getattr(import_module(room), name)
    full = f"{room}.{name}"
    if inspect.isclass(thing):
        body = f".. autoclass:: {full}\n"
    elif callable(thing) and not isinstance(thing, Registry):
        body = f".. autofunction:: {full}\n"
    else:
        body = _value(name, thing)
    gallery = f".. minigallery:: {full}\n   :add-heading: Examples that use it\n   :heading-level: -\n"
    line = f".. code-block:: python\n\n   from {room} import {name}\n"
    return f"{_title(name)}{line}\n.. currentmodule:: {room}\n\n{body}{links}\n{gallery}"


def _value(name: str, thing: Any) -> str:
    """A registry as a table of its entries, another constant as its value."""
    if isinstance(thing, Registry):
        rows = "".join(f"      * - ``{key}``\n        - {_first_line(_entry(thing, key))}\n" for key in sorted(thing))
        table = f"   .. list-table::\n      :widths: 25 75\n\n{rows}"
        lead = "   What can be named, from brainnet and from packages that are installed."
        return f".. py:data:: {name}\n\n{lead}\n\n{table}"
    if isinstance(thing, dict) and any(callable(value) for value in thing.values()):
        rows = "".join(f"      * - ``{key}``\n        - {_first_line(value)}\n" for key, value in thing.items())
        return f".. py:data:: {name}\n\n   .. list-table::\n      :widths: 25 75\n\n{rows}"
    text = pprint.pformat(thing, width=88)
    if " at 0x" in text or len(text) > 3000:
        text = f"{type(thing).__name__} of {len(thing)} entries"
    shown = "".join(f"      {line}\n" for line in text.splitlines())
    return f".. py:data:: {name}\n\n   ::\n\n{shown}"


def _entry(registry: Registry, key: str) -> Any:
    try:
        return registry[key]
    except ImportError:  # a package that is not installed
        return None


def _first_line(thing: Any) -> str:
    """First sentence of a docstring, or nothing for what has none of its own."""
    if not callable(thing) or isinstance(thing, Registry):
        return "Names that can be used, with what each stands for." if isinstance(thing, Registry) else "A constant."
    doc = inspect.getdoc(thing) or ""
    return doc.split("\n\n")[0].replace("\n", " ")


def _title(text: str) -> str:
    return f"{text}\n{'=' * len(text)}\n\n"
