"""Sets of pictures whose publishers give RDMs instead of responses: there is nothing to fit, but models to compare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from brainnet._checks import check_word
from brainnet._registry import options_of
from brainnet.dataset.about import About
from brainnet.rsa import Evaluation, NoiseCeiling, RDMs, evaluate, noise_ceiling
from brainnet.stimuli import Images


class RDMSet:
    """Pictures, and RDMs over them: of regions of some people's brains, or of behavior.

    Args:
        image_ids: one unique name per picture.
        rdms: region -> one RDM per person, over the pictures in this order. Without names of conditions they get the
            ids.
        images: the pictures in the same order; None where there are none.

    Raises:
        ValueError: RDMs over another number of pictures, or of other ones; names the region.

    >>> import torch
    >>> faces = RDMSet(["a", "b", "c"], {"IT": RDMs(torch.rand(5, 3, generator=torch.Generator().manual_seed(0)))})
    >>> faces
    RDMSet(3 images; IT 5)
    >>> faces.rdms["IT"].conditions
    ('a', 'b', 'c')
    """

    about: ClassVar[About | None] = None
    needs_folder: ClassVar[bool] = True

    def __init__(self, image_ids: Sequence[str], rdms: Mapping[str, RDMs], images: Images | None = None):
        self.image_ids = [str(name) for name in image_ids]
        self.images = images
        if images is not None and len(images) != len(self.image_ids):
            raise ValueError(f"{len(images)} pictures for {len(self.image_ids)} ids.")
        self.rdms = {name: self._named(name, one) for name, one in rdms.items()}

    @classmethod
    def from_settings(cls, data_dir: str, seed: int, **options: Any) -> RDMSet:
        """The set in a folder; a subclass says by its own signature which options it takes.

        Args:
            data_dir: ``DATASET.DATA_DIR``, the folder of the data.
            seed: ``SEED``, of whatever is drawn.
            options: ``DATASET.OPTIONS``.
        """
        return cls(data_dir, **({"seed": seed} if "seed" in (options_of(cls) or ()) else {}), **options)

    def _named(self, name: str, rdms: RDMs) -> RDMs:
        if rdms.n_conditions != len(self.image_ids):
            raise ValueError(f"the RDMs of {name} are over {rdms.n_conditions} pictures; expected {len(self)}.")
        conditions = rdms.conditions or tuple(self.image_ids)
        if conditions != tuple(self.image_ids):
            raise ValueError(f"the RDMs of {name} are over other pictures, or the same in another order.")
        axes = {"subject": rdms.names} if len(rdms.axes) == 1 else rdms.axes
        return RDMs(rdms.values, rdms.metric, rdms.names, conditions, axes)

    def load_image(self, index: int):
        """Picture ``index`` as it is stored, an RGB ``PIL.Image``."""
        if self.images is None:
            raise ValueError(f"{self!r} has no pictures.")
        return self.images[index]

    def noise_ceiling(self, region: str, method: str = "spearman", **options: Any) -> NoiseCeiling:
        """Bounds on the score of any model in a region, see :func:`brainnet.rsa.noise_ceiling`.

        With ``pooling="mean", squared=True`` they are in the unit of the Algonauts challenge.
        """
        check_word("region", region, list(self.rdms))
        return noise_ceiling(self.rdms[region], method, **options)

    def compare(self, models: Mapping[str, RDMs], method: str = "spearman", **settings: Any) -> Evaluation:
        """Scores of models in every region, with ceilings and inference, see :func:`brainnet.rsa.evaluate`.

        Args:
            models: name -> its RDMs over the same pictures, one a layer.
            method: name of a comparison.
            **settings: of ``evaluate``.
        """
        return evaluate(models, self.rdms, method, **settings)

    def summary(self) -> dict[str, Any]:
        """What the set holds, in numbers: "images", "RDMs" of each region, and the upper "ceiling" of each."""
        counts = {name: len(rdms) for name, rdms in self.rdms.items()}
        several = [name for name, rdms in self.rdms.items() if len(rdms) > 1 and len(rdms.axes) == 1]
        ceilings = {name: self.noise_ceiling(name, nan="omit").upper for name in several}
        first = "none" if self.images is None else " x ".join(map(str, self.load_image(0).size)) + " pixels"
        return {"images": len(self), "first image": f"{self.image_ids[0]}, {first}", "RDMs": counts,
                "ceiling, Spearman": ceilings}  # fmt: skip

    def __len__(self) -> int:
        return len(self.image_ids)

    def __repr__(self) -> str:
        counts = ", ".join(f"{name} {len(rdms)}" for name, rdms in self.rdms.items())
        return f"{type(self).__name__}({len(self)} images; {counts})"


def holds_rdms(entry: Any) -> bool:
    """Whether an entry of the data sets is one of RDMs, not of responses."""
    return isinstance(entry, type) and issubclass(entry, RDMSet)
