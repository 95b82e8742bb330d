"""A word nearly right, a package not installed, a warning said before."""

from __future__ import annotations

import warnings

import pytest

from brainnet._checks import check_word, nearest, require, warn_once


def test_the_nearest_name_is_found_whatever_its_case():
    assert nearest("RESNET50", ["resnet50", "ViT-B-16"]) == "resnet50"
    assert nearest("vit-b-16", ["resnet50", "ViT-B-16"]) == "ViT-B-16"
    assert nearest("zzz", ["resnet50", "ViT-B-16"]) is None


def test_a_word_is_one_of_the_known_or_refused():
    check_word("pool", "mean", ("mean", "flatten"))
    with pytest.raises(ValueError, match="pool 'zzz'. Known: mean, flatten"):
        check_word("pool", "zzz", ("mean", "flatten"))


def test_a_missing_package_says_how_to_install_it():
    with pytest.raises(ModuleNotFoundError, match="The lamp needs no_such_package.*pip install no-such-package"):
        require("no_such_package.part", "The lamp")


def test_warnings_are_said_once():
    with pytest.warns(UserWarning, match="hello"):
        warn_once("test-key", "hello")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_once("test-key", "hello")


def test_a_package_that_is_there_but_lacks_another_is_not_called_missing(tmp_path, monkeypatch):
    (tmp_path / "half_installed.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError) as told:
        require("half_installed", "The lamp")
    assert told.value.name == "no_such_package"
    assert "The lamp" not in str(told.value)
