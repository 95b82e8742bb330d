"""Names find their factory, and the names of a package their file."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from brainnet._registry import Registry, options_of, takes_options_of


def test_a_file_of_the_folder_is_an_entry():
    registry = Registry("thing", folder="email", pick="__name__")
    assert {"message", "parser"} <= set(registry.names())
    assert registry["message"] == "email.message"
    assert not any(name.startswith("_") for name in registry.names())


def test_an_entry_from_a_users_own_file(tmp_path):
    (tmp_path / "mine.py").write_text("class Net:\n    def __init__(self, depth=1):\n        self.depth = depth\n")
    registry = Registry("network")
    assert registry.build(f"{tmp_path}/mine.py:Net", depth=3).depth == 3
    with pytest.raises(ValueError, match="'dept'.*'depth'"):
        registry.build(f"{tmp_path}/mine.py:Net", dept=3)
    with pytest.raises(ValueError, match="'Nett'.*Net"):
        registry[f"{tmp_path}/mine.py:Nett"]
    with pytest.raises(FileNotFoundError, match=r"none\.py"):
        registry[f"{tmp_path}/none.py:Net"]


def test_an_entry_for_the_time_being():
    registry = Registry("thing")
    registry.register("a")(int)
    with registry.temporarily("a", str), registry.temporarily("b", float):
        assert (registry["a"], registry.names()) == (str, ["a", "b"])
    assert (registry["a"], registry.names()) == (int, ["a"])


def test_a_taken_name_is_refused():
    registry = Registry("thing")
    registry.register("a")(int)
    with pytest.raises(ValueError, match="registered already"):
        registry.register("a")(float)


def test_unknown_names_meet_the_nearest():
    registry = Registry("backbone")
    registry.register("clip")(int)
    with pytest.raises(ValueError, match="Unknown backbone 'clipp'. Did you mean 'clip'"):
        registry["clipp"]


def test_the_options_a_factory_hands_on_are_its_own():
    def network(depth, stride=1, *, width=2):
        pass

    def open_network(**more):
        pass

    def build(variant, **options):
        pass

    assert options_of(takes_options_of(network)(build)) == {"width"}
    assert options_of(takes_options_of(network, "stride")(build)) == {"stride", "width"}
    assert options_of(takes_options_of(open_network)(build)) is None  # any


def test_a_file_of_a_lazy_package_is_imported_when_a_name_of_it_is_used(tmp_path, monkeypatch):
    (tmp_path / "lazy_toy").mkdir()
    (tmp_path / "lazy_toy" / "__init__.py").write_text(
        "from brainnet._registry import lazy_face\n"
        "__all__, __getattr__, __dir__ = lazy_face(__name__, {'a': ('one', 'two'), 'b': ('three',)})\n"
    )
    (tmp_path / "lazy_toy" / "a.py").write_text("one, two = 1, 2\n")
    (tmp_path / "lazy_toy" / "b.py").write_text("three = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    import lazy_toy

    try:
        assert lazy_toy.__all__ == ["one", "two", "three"]
        assert {"one", "two", "three", "__all__"} <= set(dir(lazy_toy))
        assert not {"lazy_toy.a", "lazy_toy.b"} & set(sys.modules)
        assert lazy_toy.two == 2
        assert {"lazy_toy.a", "lazy_toy.b"} & set(sys.modules) == {"lazy_toy.a"}
        with pytest.raises(AttributeError, match="'lazy_toy'.*'tow'.*one, three, two"):
            _ = lazy_toy.tow
    finally:
        for name in [name for name in sys.modules if name.split(".")[0] == "lazy_toy"]:
            del sys.modules[name]


def test_the_module_of_a_users_file_has_the_same_name_in_every_process(tmp_path):
    """Tokens carry the name of their network: under another name those of the last run were refused."""
    (tmp_path / "mine.py").write_text("class Net:\n    pass\n")
    code = f"from brainnet.backbone import BACKBONES; print(BACKBONES[{str(tmp_path / 'mine.py:Net')!r}].__module__)"
    names = {
        subprocess.run([sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True,
                       text=True, check=True).stdout for seed in ("1", "2")
    }  # fmt: skip
    assert len(names) == 1
