"""``from_settings`` of a reader, made of its constructor: the options are written once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

NO_OPTIONS = ("seed", "progress")  # of a constructor: the one is a setting of its own, the other is of the session


def settings_of(constructor: Callable) -> classmethod:
    """``from_settings(data_dir, seed, *, ...)`` with the options of a constructor, for the class it belongs to.

    Its first argument is the folder of the data. Its ``seed``, where it has one, is that of the settings.

    >>> class Reader:
    ...     def __init__(self, root, subject=1, *, seed=0, progress=True): self.given = (root, subject, seed)
    ...     from_settings = settings_of(__init__)
    >>> Reader.from_settings("data", 3, subject=2).given
    ('data', 2, 3)
    >>> str(inspect.signature(Reader.from_settings))
    '(data_dir, seed, *, subject=1)'
    """
    _, _, *given = inspect.signature(constructor).parameters.values()
    seeded = any(parameter.name == "seed" for parameter in given)

    def from_settings(cls: type, data_dir: str, seed: int, **options: Any) -> Any:
        """The data in ``data_dir``; the options are those of the class."""
        return cls(data_dir, **({"seed": seed} if seeded else {}), **options)

    own = list(inspect.signature(from_settings).parameters.values())[:3]
    options = [p.replace(kind=p.KEYWORD_ONLY) for p in given if p.name not in NO_OPTIONS]
    from_settings.__signature__ = inspect.Signature([*(p.replace(annotation=p.empty) for p in own), *options])
    return classmethod(from_settings)
