"""What a registry holds, read from the source: a list of names needs no torch, which takes seconds to import.

What brainnet itself brings is read without running it; of other packages, the entry is imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from rich.table import Table

import brainnet
from brainnet._registry import without_markup
from brainnet.cli.shared import out_console

Definition = ast.FunctionDef | ast.ClassDef


def described(room: str, registry: str, folder: str, group: str) -> dict[str, str]:
    """Every name of a registry, sorted, with the first line of its docstring.

    Args:
        room: of the package, which is searched for ``@REGISTRY.register("name")``.
        registry: its name in the source, such as "BACKBONES".
        folder: in the room; each file is an entry: its function ``build``, or its first public class.
        group: entry points of other packages.

    >>> described("backbone", "BACKBONES", "families", "brainnet.backbones")["timm"]
    'A timm network as a backbone; see :class:`TimmBackbone`.'
    """
    found = {}
    for path in sorted((Path(brainnet.__file__).parent / room).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        definitions = [node for node in tree.body if isinstance(node, Definition)]
        if path.parent.name == folder and not path.name.startswith("_"):
            entry = next((one for one in definitions if one.name == "build"), None)
            entry = entry or next(d for d in definitions if isinstance(d, ast.ClassDef) and not d.name.startswith("_"))
            found[path.stem] = _first_line(ast.get_docstring(entry))
        for one in definitions:
            found |= {name: _first_line(ast.get_docstring(one)) for name in _registered(one, registry)}
    for point in entry_points(group=group):
        try:
            found[point.name] = _first_line(point.load().__doc__)
        except Exception as error:  # another package's mistake must not hide the others
            found[point.name] = f"cannot be used: {type(error).__name__}: {error}"
    return dict(sorted(found.items()))


def _registered(definition: Definition, registry: str) -> Iterator[str]:
    for decorator in definition.decorator_list:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == f"{registry}.register":
            yield ast.literal_eval(decorator.args[0])


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]


def said_of(place: Path, call: str) -> dict[str, Any] | None:
    """The keywords of the first call of that name in a file, as written: a literal as its value, all else as None.

    ``replace(NAME, ...)`` of what another file of brainnet has called so adds its keywords to those. None where the
    file has no such call.

    >>> path = Path(brainnet.__file__).parent / "dataset/readers/nsd.py"
    >>> said_of(path, "About")["kind"], said_of(path, "Nothing")
    ('fMRI', None)
    """
    tree = ast.parse(place.read_text(encoding="utf-8"))
    calls = {ast.unparse(node.func): node for node in reversed([*ast.walk(tree)]) if isinstance(node, ast.Call)}
    if call in calls:
        return {keyword.arg: _literal(keyword.value) for keyword in calls[call].keywords}
    changed = calls.get("replace")
    if changed is None or not changed.args:
        return None
    name = ast.unparse(changed.args[0])
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    homes = [node.module for node in imports if name in map(_name, node.names)]
    if not homes:
        return None
    said = said_of(Path(brainnet.__file__).parents[1].joinpath(*homes[0].split(".")).with_suffix(".py"), call)
    return said and said | {keyword.arg: _literal(keyword.value) for keyword in changed.keywords}


def _name(alias: ast.alias) -> str:
    return alias.asname or alias.name


def _literal(node: ast.expr) -> Any:
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None


def print_entries(entries: Mapping[str, str], kind: str) -> None:
    """A table of names and what they are, without the markup of docstrings."""
    table = Table(kind, "what it is", box=None)
    for name, line in entries.items():
        table.add_row(f"[cyan]{name}[/]", without_markup(line))
    out_console.print(table)
