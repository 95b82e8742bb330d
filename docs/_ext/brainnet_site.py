"""What the site needs beyond Sphinx: pages made from the package itself, and names that resolve to public ones."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import api_pages
import made_pages
from docutils import nodes
from sphinx.application import Sphinx

ROOT = Path(__file__).resolve().parents[2]
_STARRED = re.compile(r"(?<![\w`*\\])\*\*(?=[a-z_]+\b(?!\*))")
_NAMED_VALUE = re.compile(r"[a-z_][\w, ]*: ")


def setup(app: Sphinx) -> dict[str, bool]:
    """Hooks of the extension."""
    app.connect("config-inited", _write_pages, priority=10)
    app.connect("missing-reference", _resolve_public_name)
    app.connect("autodoc-skip-member", _skip_member)
    app.connect("autodoc-process-docstring", _list_returned_values, priority=100)  # before napoleon
    app.connect("doctree-read", set_dashes)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _write_pages(app: Sphinx, config) -> None:
    docs = Path(app.srcdir)
    generated = docs / "generated"
    pages = made_pages.pages() | api_pages.pages()
    write_changed(generated, pages)
    examples = {path.name: path.read_text() for path in sorted((ROOT / "examples").iterdir()) if path.is_file()}
    write_changed(docs / "_examples", examples)
    app.public_names = api_pages.aliases()
    app.own_names = api_pages.own_names(ROOT / "brainnet")


def write_changed(folder: Path, pages: dict[str, str]) -> None:
    """Pages into a folder: what is as before keeps its time, so that Sphinx does not read it again; the rest goes."""
    folder.mkdir(exist_ok=True)
    for name, text in pages.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
    for path in folder.rglob("*"):
        if path.is_file() and path.relative_to(folder).as_posix() not in pages and "backreferences" not in path.parts:
            path.unlink()
    for path in folder.iterdir():
        if path.is_dir() and path.name != "backreferences" and not any(path.iterdir()):
            shutil.rmtree(path)


def _resolve_public_name(app: Sphinx, env, node, contnode):
    """A reference by the name of the file that defines a thing leads to the page of its public name."""
    if node.get("refdomain") != "py":
        return None
    target = node.get("reftarget", "").lstrip("~.")
    words = target.split(".")
    for word in (target, ".".join(words[-2:]), words[-1]):
        if word in app.public_names:
            domain = env.get_domain("py")
            public = app.public_names[word]
            return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", public, node, contnode)
    return contnode if words[-1] in app.own_names else None  # of brainnet, but private to a room: text without a link


def _skip_member(app: Sphinx, what: str, name: str, obj, skip: bool, options) -> bool | None:
    """Fields of a named tuple are described under Args of the class."""
    doc = getattr(obj, "__doc__", None) or ""
    return True if doc.startswith("Alias for field number") else None


def set_dashes(app: Sphinx, doctree) -> None:
    """A dash between an argument and its meaning, which Sphinx writes as two hyphens; those of a command stay."""
    for text in list(doctree.findall(nodes.Text)):
        if text.startswith(" -- "):
            text.parent.replace(text, nodes.Text(text.replace("--", "–", 1)))


def _list_returned_values(app: Sphinx, what: str, name: str, obj, options, lines: list[str]) -> None:
    """Several values with names under Returns become a list, as arguments do; napoleon reads a single one."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith("**"):  # "a, b, **options: ..." is no strong text; napoleon escapes one alone
            lines[i] = line = _STARRED.sub(r"\*\*", line)
        if line.strip() == "Returns:":
            indent = len(line) - len(line.lstrip()) + 4
            named = [_NAMED_VALUE.match(after[indent:]) for after in _block(lines[i + 1 :], indent)]
            if named and named[0] and sum(map(bool, named)) > 1:
                lines[i] = line.replace("Returns", "Returned values")


def _block(lines: list[str], indent: int) -> list[str]:
    """The lines of a section, up to the first that stands further to the left."""
    end = next(
        (k for k, line in enumerate(lines) if line.strip() and len(line) - len(line.lstrip()) < indent), len(lines)
    )
    return lines[:end]
