"""The stimuli of a command: those its network reads, and of images those that can be read, their classes and copies."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brainnet._files import read_json, write_csv, write_text
from brainnet._work import says_progress
from brainnet.backbone.kinds import kind_read_by
from brainnet.dataset import ResponseDataset
from brainnet.stimuli import SUFFIXES_OF, Images, StimulusSet, kind_of, say_skipped, stimuli_of

TARGETS = ("targets.csv", "classes.txt")  # class and target of each picture, and the classes in their order


def stimuli_for(backbone: Any, source: Any, skip_bad: bool = False, /, **network: Any) -> Any:
    """The stimuli that a backbone reads, of whatever makes a set of them; a set is itself.

    Args:
        backbone: "family:variant", or an object with ``get_tokens``.
        source: a folder, a file, a list, or a set of stimuli.
        skip_bad: images that cannot be read are to be left out, see :func:`readable_pictures`.
        network: options of a backbone named by text.

    Raises:
        ValueError: stimuli of another kind, or ``skip_bad`` for other stimuli than images.
    """
    kind = kind_read_by(backbone, **{name: value for name, value in network.items() if value is not None})
    if kind == "image" and not (hasattr(source, "image_ids") and hasattr(source, "image")):
        try:
            return Images.of(source, skip_bad=skip_bad, checked=False)
        except FileNotFoundError as error:
            held = kinds_in(source)
            if not held:
                raise
            raise FileNotFoundError(
                f"{error} It holds {held}s, and {backbone} reads images"
                + (f": video:{backbone} reads videos." if held == "video" else f": name a network that reads {held}s.")
            ) from None
    if kind != "image" and skip_bad:
        raise ValueError(f"images that cannot be read can be left out, and {kind}s cannot.")
    return stimuli_of(source, kind)


def kinds_in(source: Any) -> str:
    """The kind of stimuli that lie in a folder, where all of them are of one kind, and no images; else ""."""
    if not isinstance(source, str | Path) or not Path(source).is_dir():
        return ""
    suffixes = {path.suffix.lower() for path in Path(source).iterdir()}
    found = [kind for kind, known in SUFFIXES_OF.items() if suffixes & set(known)]
    return found[0] if len(found) == 1 else ""


def readable_pictures(images: Any, skip_bad: bool, kept: Path | None = None, progress: bool = True) -> Any:
    """The pictures, where it is wanted without those that cannot be read; a line says what is left out.

    Args:
        images: made with ``skip_bad`` too, so that it may lack pictures already. Stimuli of another kind stay as
            they are.
        skip_bad: decode every picture first, and leave out those that cannot be read.
        kept: a file that keeps which can be read, see :meth:`~brainnet.stimuli.Images.readable`.
        progress: show a progress bar.

    Raises:
        ValueError: none can be read.
    """
    if not isinstance(images, Images):
        return images
    if skip_bad:
        images = images.readable(kept, progress=progress)
    if images.skipped:
        says_progress.info("%s.", say_skipped(images.skipped, len(images) + len(images.skipped)))
    return images


def card_of_pictures(images: Any) -> dict[str, Any]:
    """What a run card says of them: where they lie, how that was read, and what was left out for which reason."""
    if not isinstance(images, Images):
        kind = kind_of(images)
        return {"path": images.described, "kind": kind} if isinstance(images, StimulusSet) else {"path": repr(images)}
    classes = {} if images.classes is None else {"n_classes": len(images.classes)}
    return {"path": images.described, "layout": images.layout, **classes, "skipped": dict(images.skipped)}


def write_targets(out: Path, images: Images) -> list[Path]:
    """``targets.csv`` (id, class, target) and ``classes.txt`` (a class a line, in order), of pictures with classes."""
    import pandas as pd

    if images.classes is None or images.targets is None:
        return []
    classes = [images.classes[target] for target in images.targets]
    write_csv(out / TARGETS[0], pd.DataFrame({"id": images.ids, "class": classes, "target": images.targets}))
    write_text(out / TARGETS[1], "".join(f"{name}\n" for name in images.classes))
    return [out / name for name in TARGETS]


def remove_targets(out: Path) -> None:
    """Takes away the files of :func:`write_targets`, where the run card in the folder says that they are its own."""
    try:
        source = read_json(out / "run.json").get("source")
    except (OSError, ValueError):  # none, or damaged
        return
    if isinstance(source, dict) and "n_classes" in source:
        for name in TARGETS:
            (out / name).unlink(missing_ok=True)


def warn_of_copies(dataset: ResponseDataset, train: Sequence[str], of: str = "the data set") -> int:
    """Warns where images outside the training splits are copies of training images; returns how many.

    Pictures are compared by their bytes. A data set that keeps them in another way than in ``images`` is passed over.

    Args:
        dataset: images and splits.
        train: splits that are trained on.
        of: the name of the data set, for the warning.
    """
    groups = getattr(getattr(dataset, "images", None), "copies", lambda: [])()
    split_of = {int(i): name for name, rows in dataset.splits.items() for i in rows}
    pairs = []
    for group in groups:
        trained = [i for i in group if split_of.get(i) in train]
        others = [i for i in group if i in split_of and split_of[i] not in train]
        pairs += [(i, trained[0]) for i in others if trained]
    if pairs:
        tested, trained = pairs[0]
        names = dataset.image_ids
        warnings.warn(
            f"{len(pairs)} images of {of} are trained on and tested on, under two names: the first is "
            f"{names[tested]!r} of the split {split_of[tested]!r}, a copy of {names[trained]!r} of "
            f"{split_of[trained]!r}. The score on them is none on new images: put copies into one split, or leave "
            "them out.",
            UserWarning,
            stacklevel=2,
        )
    return len(pairs)
