"""Options of a reader, written once in its constructor."""

import inspect

import pytest

from brainnet._registry import check_options, options_of
from brainnet.dataset.settings import settings_of


class Reader:
    def __init__(self, root, subject=1, *, region: str = "V1", seed=0, progress=True):
        self.given = (root, subject, region, seed, progress)

    from_settings = settings_of(__init__)


class Plain:
    def __init__(self, root, *, window=None):
        self.given = (root, window)

    from_settings = settings_of(__init__)


class Child(Reader):
    pass


def test_the_options_are_those_of_the_constructor_and_the_seed_is_that_of_the_settings():
    assert options_of(Reader.from_settings) == {"seed", "subject", "region"}
    signature = inspect.signature(Reader.from_settings)
    assert list(signature.parameters) == ["data_dir", "seed", "subject", "region"]
    assert signature.parameters["subject"].kind is inspect.Parameter.KEYWORD_ONLY
    assert signature.parameters["region"].annotation is str
    assert Reader.from_settings("data", 7, region="MT").given == ("data", 1, "MT", 7, True)
    assert Plain.from_settings("data", 7, window=(0, 1)).given == ("data", (0, 1))
    assert type(Child.from_settings("data", 7)) is Child


def test_an_option_that_the_constructor_has_not_is_refused():
    with pytest.raises(ValueError, match="'regoin'.*'region'"):
        check_options(Reader.from_settings, {"regoin": "V1"}, "the data set")
    with pytest.raises(TypeError, match="regoin"):
        Reader.from_settings("data", 7, regoin="V1")
