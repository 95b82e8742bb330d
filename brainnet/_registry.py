"""Names to factories: the one mechanism behind ``build_backbone("clip:ViT-B-16")`` and its siblings.

An entry is found in one of four ways: it was given (``register``); it is a file in the registry's folder, one file for
one name; another installed package announced it under the registry's entry-point group; or the user named a file of
their own, ``"mine.py:Net"``. A file or package is imported only when its name is looked up;
``lazy_face`` does the same for the public names of a package.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType
from typing import Any
from zlib import crc32

from brainnet._checks import nearest


class Registry:
    """Factories by name, imported when first asked for.

    Args:
        kind: what the entries are, for messages ("backbone", "dataset", "distance").
        group: entry-point group under which other packages announce entries, or None.
        folder: package whose files are entries, a file a name (``"brainnet.backbone.families"``), or None.
        pick: the entry in such a file: a name in it, or a function of the module.

    >>> shapes = Registry("shape")
    >>> @shapes.register("square")
    ... def square(variant, side=1):
    ...     return variant, side
    >>> shapes.build("square:red", side=2)
    ('red', 2)
    >>> shapes["sqare"]
    Traceback (most recent call last):
    ValueError: Unknown shape 'sqare'. Did you mean 'square'? Known: square
    """

    def __init__(
        self,
        kind: str,
        group: str | None = None,
        folder: str | None = None,
        pick: str | Callable[[ModuleType], Any] = "build",
    ):
        self.kind, self.group, self.folder, self.pick = kind, group, folder, pick
        self._entries: dict[str, Any] = {}
        self._found: dict[str, Callable[[], Any]] | None = None  # name -> what imports the entry

    def register(self, name: str) -> Callable:
        """A decorator that files its function or class under ``name``; a taken name is an error."""

        def file(entry):
            if name in self._entries and self._entries[name] is not entry:
                raise ValueError(f"{self.kind} {name!r} is registered already; choose another name.")
            self._entries[name] = entry
            return entry

        return file

    @contextmanager
    def temporarily(self, name: str, entry: Any) -> Iterator[None]:
        """Files an entry for as long as the context lasts, also under a name that is taken; for tests and notebooks."""
        before = dict(self._entries)
        self._entries[name] = entry
        try:
            yield
        finally:
            self._entries = before

    def names(self) -> list[str]:
        """Every known name, sorted."""
        return sorted({*self._entries, *self._others()})

    def __contains__(self, name: object) -> bool:
        return name in self._entries or name in self._others()

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __getitem__(self, name: str) -> Any:
        """The entry of that name; ``"mine.py:Net"`` is ``Net`` of the file ``mine.py``.

        Raises:
            ValueError: an unknown name (names the nearest known one), or a file without that entry.
            FileNotFoundError: no such file.
        """
        if name in self._entries:
            return self._entries[name]
        if name in self._others():
            entry = self._entries[name] = self._others()[name]()
            return entry
        if _is_own(name):
            path, _, attribute = name.rpartition(":")
            return _from_file(Path(path), attribute, self.kind)
        close = nearest(name, self.names())
        hint = f" Did you mean {close!r}?" if close else ""
        raise ValueError(f"Unknown {self.kind} {name!r}.{hint} Known: {', '.join(self.names())}")

    def build(self, name: str, **options: Any) -> Any:
        """What the factory of ``"family:variant"`` makes; the variant is None where none is named.

        The factory of ``"mine.py:Net"`` is called with the options alone.

        Raises:
            ValueError: an unknown name, or an option that the factory does not take (names those it takes).
        """
        factory = self.factory(name)
        check_options(factory, options, f"{self.kind} {name!r}")
        return factory(**options) if _is_own(name) else factory(name.partition(":")[2] or None, **options)

    def factory(self, name: str) -> Callable:
        """What builds ``"family:variant"``, the family; of ``"mine.py:Net"`` it is ``Net``."""
        if not isinstance(name, str):
            raise TypeError(f"a {self.kind} is named by a string such as 'family:variant', got {type(name).__name__}")
        return self[name if _is_own(name) else name.partition(":")[0]]

    def variants(self, name: str) -> list[str] | None:
        """The variants a family lists: what ``variants()`` gives in the module of its factory; None without that."""
        listed = getattr(import_module(self[name].__module__), "variants", None)
        return None if listed is None else list(listed())

    def _others(self) -> dict[str, Callable[[], Any]]:
        """What the folder and other packages offer: name to a function that imports it; looked up once."""
        if self._found is None:
            points = entry_points(group=self.group) if self.group else ()
            self._found = {point.name: point.load for point in points}
            if self.folder is not None:
                places = find_spec(self.folder).submodule_search_locations
                names = [module.name for module in iter_modules(places) if not module.name.startswith("_")]
                self._found |= {name: lambda name=name: self._of_folder(name) for name in names}
        return self._found

    def _of_folder(self, name: str) -> Any:
        module = import_module(f"{self.folder}.{name}")
        return getattr(module, self.pick) if isinstance(self.pick, str) else self.pick(module)


def takes_options_of(target: Callable, *further: str) -> Callable:
    """A decorator for ``build(variant, **options)`` that hands its options on: it shows the target's as its own.

    >>> @takes_options_of(sorted)
    ... def build(variant, **options):
    ...     return sorted(variant, **options)
    >>> str(inspect.signature(build))
    '(variant, *, key=None, reverse=False)'
    """

    def show(build: Callable) -> Callable:
        own = list(inspect.signature(build).parameters.values())
        handed_on = [
            parameter
            for parameter in inspect.signature(target).parameters.values()
            if parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD) or parameter.name in further
        ]
        mine = [parameter for parameter in own if parameter.kind is not parameter.VAR_KEYWORD]
        names = {parameter.name for parameter in mine}
        shown = [*mine, *(p.replace(kind=max(p.kind, p.KEYWORD_ONLY)) for p in handed_on if p.name not in names)]
        build.__signature__ = inspect.Signature(shown)
        return build

    return show


def options_of(factory: Callable) -> set[str] | None:
    """The names of the options a factory takes; None where it takes any.

    >>> sorted(options_of(lambda variant, *, layers=None, seed=0: None))
    ['layers', 'seed']
    """
    parameters = inspect.signature(factory).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name for p in parameters if p.kind in kinds and p.name not in ("variant", "data_dir")}


def meanings_of(docstring: str | None) -> dict[str, str]:
    r"""What a docstring says of each argument under ``Args:``, in one line each, without markup.

    >>> meanings_of("Draws.\n\nArgs:\n    a, b: two of\n        :class:`~numpy.ndarray`.\n    c: ``None`` is all.")
    {'a': 'two of ndarray.', 'b': 'two of ndarray.', 'c': 'None is all.'}
    """
    found: dict[str, str] = {}
    _, _, below = inspect.cleandoc(docstring or "").partition("\nArgs:\n")
    block = re.match(r"(?: .*\n?|\n)*", below)[0]
    for names, meaning in re.findall(r"^ {4}(\*{0,2}\w+(?:, \w+)*): (.*(?:\n {5,}.*)*)", block, flags=re.MULTILINE):
        found |= dict.fromkeys(names.lstrip("*").split(", "), without_markup(" ".join(meaning.split())))
    return found


def without_markup(text: str) -> str:
    """A text of a docstring as a terminal shows it.

    >>> without_markup("see :func:`~brainnet.rsa.rdm`, or ``None``")
    'see rdm, or None'
    """
    text = re.sub(r":\w+:`~?([^`<]+?)(?:\s*<[^`]*>)?`", lambda found: found[1].rpartition(".")[2], text)
    return re.sub(r"``([^`]+)``", r"\1", text)


def check_options(factory: Callable, options: Mapping[str, Any], what: str) -> None:
    """Refuses an option that ``factory`` does not take, and names those it takes.

    >>> check_options(lambda variant, *, layers=None: None, {"layer": 3}, "backbone 'toy'")
    Traceback (most recent call last):
    ValueError: backbone 'toy' takes no option 'layer'. Did you mean 'layers'? It takes: layers.
    """
    known = options_of(factory)
    for name in options if known is not None else ():
        if name not in known:
            close = nearest(name, known)
            hint = f" Did you mean {close!r}?" if close else ""
            raise ValueError(f"{what} takes no option {name!r}.{hint} It takes: {', '.join(sorted(known)) or 'none'}.")


def lazy_face(
    package: str, files: Mapping[str, Sequence[str]]
) -> tuple[list[str], Callable[[str], Any], Callable[[], list[str]]]:
    """``__all__``, ``__getattr__`` and ``__dir__`` of a package whose files are imported when a name of theirs is used.

    Args:
        package: the package's ``__name__``.
        files: the public names of each of its files.

    >>> names, get, _ = lazy_face("email", {"message": ("Message",), "parser": ("Parser", "FeedParser")})
    >>> names, get("Parser").__module__
    (['Message', 'Parser', 'FeedParser'], 'email.parser')
    >>> get("parse")
    Traceback (most recent call last):
    AttributeError: module 'email' has no attribute 'parse'; it has FeedParser, Message, Parser
    """
    file_of = {name: file for file, names in files.items() for name in names}

    def get(name: str) -> Any:
        if name not in file_of:
            known = ", ".join(sorted(file_of))
            raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {known}")
        return getattr(import_module(f"{package}.{file_of[name]}"), name)

    def list_names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *file_of})

    return list(file_of), get, list_names


def _is_own(name: str) -> bool:
    """Whether a name is a user's own file, ``"mine.py:Net"``."""
    return name.rpartition(":")[0].endswith(".py")


def _from_file(path: Path, attribute: str, kind: str) -> Any:
    """``attribute`` of a user's own Python file, run as a module of its own."""
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}: a {kind} of your own is named FILE.py:NAME.")
    # crc32 and not hash(), which differs from process to process: the name is in the fingerprint of a network's tokens
    name = f"brainnet_user_{path.stem}_{crc32(str(path.resolve()).encode()):08x}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, path)
        module = module_from_spec(spec)
        sys.modules[name] = module  # before it runs, so that its classes can be pickled
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    module = sys.modules[name]
    if not hasattr(module, attribute):
        known = [n for n, v in vars(module).items() if callable(v) and getattr(v, "__module__", None) == name]
        raise ValueError(f"{path} defines no {attribute!r}; it defines {', '.join(known) or 'nothing to call'}.")
    return getattr(module, attribute)
