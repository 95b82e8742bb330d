"""Where each response column lives: on a cortical surface, in a volume, or nowhere in particular.

A ``BrainSpace`` carries coordinates, regions of interest and the way back to a mesh or a volume, so that values and
their place travel together through subsetting, training and plotting. It holds no responses, loads no meshes
(``brainnet.space.surface`` does) and draws nothing (``brainnet.plot`` does).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import is_like, matching_names
from brainnet._notebook import table_html
from brainnet.space.own_surfaces import Meshes

if TYPE_CHECKING:
    import nibabel

VERTICES_PER_HEMISPHERE = Meshes({
    "fsaverage5": 10_242, "fsaverage": 163_842, "fsaverage3": 642, "fsaverage4": 2_562, "fsaverage6": 40_962,
    "fsLR32k": 32_492, "fsLR59k": 59_292,
})  # fmt: skip
_ROI_PREFIX = "roi:"


@dataclass(frozen=True, eq=False, repr=False)
class BrainSpace:
    """The place of ``n_voxels`` response columns; the same order as the columns of ``responses``.

    Three kinds: a *surface* space has ``vertices`` and ``mesh``; a *volume* space has ``mask`` and ``affine``; a *free*
    space (spike-sorted units, electrodes; see :meth:`free`) has neither and usually no coordinates. A column may be a
    sensor at a time, as in EEG and MEG (see :func:`~brainnet.space.sensor_space`).

    Args:
        coords: (n_voxels, 3) mm, finite: sphere coordinates or voxel centers; None where there are none. A volume space
            given none gets its voxel centers from ``affine``.
        rois: name -> (n_voxels,) bool, which columns belong to the region of interest; regions may overlap.
        vertices: (n_voxels,) integer, which mesh vertex each column is. Indices run over the left and then the right
            hemisphere (right = vertices per hemisphere + index); each vertex at most once.
        mesh: "fsaverage" (the 163,842 vertices a hemisphere also called fsaverage7), "fsaverage3" to "fsaverage6",
            "fsLR32k" or "fsLR59k"; or a person's own surfaces, see :func:`~brainnet.space.own_mesh`.
        mask: (X, Y, Z) bool, True at every voxel of the space.
        affine: (4, 4), voxel index -> mm (RAS+: x grows to the right).
        n_voxels: number of response columns; needed only where nothing else tells it.
        volume_index: (n_voxels,) integer, place of each column in the flattened (C order) volume; by default the True
            places of ``mask`` in order.
        sensors: (n_voxels,) name of the sensor, electrode or unit of each column.
        times: (n_voxels,) when each column was measured, in seconds from the onset of the stimulus.

    Raises:
        ValueError: lengths disagree, a vertex is out of range or named twice, a mask is not boolean, and the like.

    >>> v1 = torch.tensor([True, False])
    >>> space = BrainSpace(vertices=torch.tensor([7, 10249]), mesh="fsaverage5", rois={"V1": v1})
    >>> space
    BrainSpace(2 voxels, vertices of fsaverage5, rois: V1)
    >>> space.hemisphere.tolist()
    [0, 1]
    >>> space.subset("V1").n_voxels
    1
    """

    coords: Tensor | None = None
    rois: Mapping[str, Tensor] = field(default_factory=dict)
    vertices: Tensor | None = None
    mesh: str | None = None
    mask: Tensor | None = None
    affine: Tensor | None = None
    n_voxels: int | None = None
    volume_index: Tensor | None = None
    sensors: Sequence[str] | None = None
    times: Tensor | None = None

    def __post_init__(self) -> None:
        """Convert to CPU tensors and refuse what does not fit together."""
        convert = {
            "coords": _as_tensor(self.coords, torch.float32),
            "vertices": _as_index(self.vertices, "vertices"),
            "mask": _as_mask(self.mask, "mask"),
            "affine": _as_tensor(self.affine, torch.float64),
            "volume_index": _as_index(self.volume_index, "volume_index"),
            "sensors": None if self.sensors is None else tuple(map(str, self.sensors)),
            "times": _as_tensor(self.times, torch.float64),
        }
        for name, value in convert.items():
            object.__setattr__(self, name, value)
        self._settle_volume()
        self._settle_length()
        self._check_vertices()
        self._check_sensors()
        object.__setattr__(self, "rois", {name: self._checked_roi(name, mask) for name, mask in self.rois.items()})

    def _settle_volume(self) -> None:
        if self.mask is None:
            if self.affine is not None or self.volume_index is not None:
                raise ValueError("affine and volume_index place voxels of a volume: give the (X, Y, Z) mask with them.")
            return
        if self.vertices is not None:
            raise ValueError("a BrainSpace is a surface (vertices, mesh) or a volume (mask, affine), not both.")
        if self.mask.ndim != 3:
            raise ValueError(f"mask must be (X, Y, Z), got shape {tuple(self.mask.shape)}.")
        if self.affine is None or self.affine.shape != (4, 4):
            given = None if self.affine is None else tuple(self.affine.shape)
            raise ValueError(f"a volume space needs a (4, 4) affine (voxel index -> mm), got {given}.")
        inside = self.mask.flatten().nonzero().squeeze(1)
        if self.volume_index is None:
            object.__setattr__(self, "volume_index", inside)
        elif not torch.equal(self.volume_index.sort().values, inside):
            raise ValueError("volume_index must name every True voxel of mask exactly once.")
        if self.coords is None:
            ijk = np.stack(np.unravel_index(self.volume_index.numpy(), self.mask.shape), axis=1)
            affine = self.affine.numpy()
            centres = ijk @ affine[:3, :3].T + affine[:3, 3]
            object.__setattr__(self, "coords", torch.from_numpy(centres).float())

    def _settle_length(self) -> None:
        if self.coords is not None:
            if self.coords.ndim != 2 or self.coords.shape[1] != 3:
                raise ValueError(f"coords must be (n_voxels, 3), got shape {tuple(self.coords.shape)}.")
            if not torch.isfinite(self.coords).all():
                bad = int((~torch.isfinite(self.coords)).any(1).sum())
                raise ValueError(f"coords of {bad} voxels are not finite: drop these voxels, or pass coords=None.")
        lengths = {
            name: len(value)
            for name in ("coords", "vertices", "volume_index", "sensors", "times")
            if (value := getattr(self, name)) is not None
        }
        if self.n_voxels is not None:
            lengths["n_voxels"] = int(self.n_voxels)
        if not lengths:
            lengths = {f"rois[{name!r}]": len(mask) for name, mask in self.rois.items()}
        if not lengths:
            raise ValueError("a BrainSpace without coords, vertices or mask needs n_voxels: BrainSpace.free(n_voxels).")
        if len(set(lengths.values())) > 1:
            listing = ", ".join(f"{name}: {length}" for name, length in lengths.items())
            raise ValueError(f"the parts of a BrainSpace differ in their number of voxels ({listing}).")
        object.__setattr__(self, "n_voxels", next(iter(lengths.values())))

    def _check_vertices(self) -> None:
        if (self.vertices is None) != (self.mesh is None):
            raise ValueError("vertices and mesh belong together: give both, or neither.")
        if self.vertices is None:
            return
        if self.mesh not in VERTICES_PER_HEMISPHERE:
            raise ValueError(f"Unknown mesh {self.mesh!r}. Known: {', '.join(VERTICES_PER_HEMISPHERE)}.")
        n_mesh = self.n_mesh_vertices
        outside = self.vertices[(self.vertices < 0) | (self.vertices >= n_mesh)]
        if len(outside):
            raise ValueError(
                f"{len(outside)} vertices are outside 0..{n_mesh - 1}, the first is {int(outside[0])}; "
                f"{self.mesh} has {n_mesh // 2} vertices a hemisphere, right ones count from {n_mesh // 2}."
            )
        unique, counts = self.vertices.unique(return_counts=True)
        if len(unique) < self.n_voxels:
            twice = int(unique[counts > 1][0])
            raise ValueError(
                f"{int((counts > 1).sum())} vertices are named more than once, the first is {twice}; "
                "right-hemisphere vertices count from the number of left ones."
            )

    def _check_sensors(self) -> None:
        if self.times is not None and (self.times.ndim != 1 or not torch.isfinite(self.times).all()):
            raise ValueError(f"times must be finite seconds, one a voxel, got shape {tuple(self.times.shape)}.")
        seconds = None if self.times is None else self.times.tolist()
        seen: set[Any] = set()
        for key in zip(*(of for of in (self.sensors, seconds) if of is not None), strict=True):
            if key in seen:
                raise ValueError(f"two voxels are sensor and time {key}; each voxel is one sensor at one time.")
            seen.add(key)

    def _checked_roi(self, name: str, mask: Tensor) -> Tensor:
        mask = _as_mask(mask, f"ROI {name!r}")
        if mask.shape != (self.n_voxels,):
            raise ValueError(f"ROI {name!r} has shape {tuple(mask.shape)}, expected ({self.n_voxels},).")
        return mask

    @classmethod
    def free(cls, n_voxels: int, rois: Mapping[str, Tensor] | None = None) -> BrainSpace:
        """A space of ``n_voxels`` units or electrodes that have no place on a brain.

        >>> BrainSpace.free(89)
        BrainSpace(89 voxels, no place)
        """
        return cls(n_voxels=n_voxels, rois=rois or {})

    @property
    def sensor_names(self) -> tuple[str, ...]:
        """Names of the sensors, each once, in the order of the columns; empty where columns are no sensors."""
        return tuple(dict.fromkeys(self.sensors or ()))

    @property
    def time_points(self) -> Tensor:
        """The times that occur, in seconds, ascending; empty where columns have no times."""
        return torch.empty(0, dtype=torch.float64) if self.times is None else self.times.unique()

    def labels(self) -> dict[str, np.ndarray]:
        """What names each column in a table: "voxel", and "sensor" and "time" in seconds where there are such.

        A voxel is called by its mesh vertex on a surface, else by its number from 0.

        >>> space = BrainSpace(sensors=["Oz", "Oz"], times=torch.tensor([0.1, 0.2], dtype=torch.float64))
        >>> {name: column.tolist() for name, column in space.labels().items()}
        {'voxel': [0, 1], 'sensor': ['Oz', 'Oz'], 'time': [0.1, 0.2]}
        """
        voxel = np.arange(self.n_voxels) if self.vertices is None else self.vertices.numpy()
        further = {"sensor": self.sensors, "time": self.times}
        return {"voxel": voxel} | {name: np.asarray(one) for name, one in further.items() if one is not None}

    @property
    def roi_names(self) -> tuple[str, ...]:
        """Names of the regions of interest, in the order given."""
        return tuple(self.rois)

    def find_rois(self, pattern: str) -> tuple[str, ...]:
        """Names of the regions that are like ``pattern``, such as "V1*" or "*FFA*", whether in small or large letters.

        Where none is, the name of an atlas in front of each ("Wang2015.") does not count.

        Raises:
            ValueError: there are none; names the nearest.

        >>> BrainSpace.free(1, {"Wang2015.V1v": torch.ones(1).bool()}).find_rois("v1*")
        ('Wang2015.V1v',)
        """
        if not any(is_like(name, pattern) for name in self.rois):
            bare = tuple(name for name in self.rois if is_like(name.partition(".")[2], pattern))
            if bare:
                return bare
        return matching_names(self.rois, pattern, what="ROI")

    def roi(self, pattern: str) -> Tensor:
        """(n_voxels,) bool, the columns of a region, or of all the regions like ``pattern``.

        "lh." or "rh." in front takes the half of one hemisphere, where no region is called so itself.

        Raises:
            ValueError: no such region, or a space without hemispheres.
        """
        if pattern in self.rois:
            return self.rois[pattern]
        side, dot, rest = pattern.partition(".")
        if dot and side.lower() in ("lh", "rh") and not any(is_like(name, pattern) for name in self.rois):
            return self.roi(rest) & (self.hemisphere == (side.lower() == "rh"))
        return torch.stack([self.rois[name] for name in self.find_rois(pattern)]).any(0)

    def with_rois(self, rois: Mapping[str, Tensor]) -> BrainSpace:
        """The same space with further regions.

        Raises:
            ValueError: a name that is taken, or a mask of another length.
        """
        taken = next((name for name in rois if name in self.rois), None)
        if taken is not None:
            raise ValueError(f"the space has a region {taken!r} already: give these another name.")
        return replace(self, rois={**self.rois, **rois})

    def with_atlas(self, atlas: Any, areas: str | Sequence[str] = "*", **places: Any) -> BrainSpace:
        """The same space with the areas of an atlas as further regions: ``space.with_atlas(read_atlas(path), "V1*")``.

        Args:
            atlas: of :func:`brainnet.space.read_atlas`.
            areas: which, a pattern or several.
            places: ``vertices`` or ``resample``, see :meth:`brainnet.space.brain_maps.BrainMap.at`.

        Raises:
            ValueError: the atlas is of other places than the space, or has no such area.
        """
        return self.with_rois(atlas.masks(self, areas, **places))

    @property
    def n_mesh_vertices(self) -> int:
        """Vertices of the whole mesh, both hemispheres (surface spaces only)."""
        self._require_surface()
        return 2 * VERTICES_PER_HEMISPHERE[self.mesh]

    @property
    def hemisphere(self) -> Tensor:
        """(n_voxels,) long: 0 left, 1 right; a volume is cut at x = 0 mm.

        Raises:
            ValueError: a free space has no hemispheres.
        """
        if self.vertices is not None:
            return (self.vertices >= VERTICES_PER_HEMISPHERE[self.mesh]).long()
        if self.mask is not None:
            return (self.coords[:, 0] > 0).long()
        raise ValueError(f"{self!r} has no hemispheres: it has neither mesh vertices nor a volume.")

    def subset(self, index: Tensor | Sequence[int] | slice | str) -> BrainSpace:
        """The space of some of the columns, in the order of ``index``.

        Args:
            index: integers, a (n_voxels,) bool mask, a slice, or the name of an ROI, or a pattern as of :meth:`roi`.

        Raises:
            ValueError: unknown ROI, a column named twice or out of range, a mask of another length.

        >>> BrainSpace.free(5, {"MT": torch.tensor([0, 1, 0, 1, 1]).bool()}).subset([4, 0]).rois["MT"].tolist()
        [True, False]
        """
        index = self._resolve(index)
        picked = {"coords": _pick(self.coords, index), "vertices": _pick(self.vertices, index), "mesh": self.mesh}
        picked |= {"sensors": _pick(self.sensors, index), "times": _pick(self.times, index)}
        if self.mask is not None:
            volume_index = self.volume_index[index]
            mask = torch.zeros(self.mask.numel(), dtype=torch.bool)
            mask[volume_index] = True
            picked |= {"mask": mask.view(self.mask.shape), "affine": self.affine, "volume_index": volume_index}
        return BrainSpace(**picked, rois={name: mask[index] for name, mask in self.rois.items()}, n_voxels=len(index))

    def _resolve(self, index: Tensor | Sequence[int] | slice | str) -> Tensor:
        if isinstance(index, str):
            index = self.roi(index)
        if isinstance(index, slice):
            return torch.arange(self.n_voxels)[index]
        index = torch.as_tensor(index).cpu()
        if index.dtype == torch.bool:
            if index.shape != (self.n_voxels,):
                raise ValueError(f"a bool index must be ({self.n_voxels},), got shape {tuple(index.shape)}.")
            return index.nonzero().squeeze(1)
        index = index.long() if index.numel() == 0 else _as_index(index, "index")
        if len(index) and not (-self.n_voxels <= int(index.min()) and int(index.max()) < self.n_voxels):
            span = f"{int(index.min())}..{int(index.max())}"
            raise ValueError(f"index reaches over {span} in a space of {self.n_voxels} voxels.")
        index = index % self.n_voxels
        if len(index.unique()) < len(index):
            raise ValueError("index names a voxel more than once; each voxel has one place in a space.")
        return index

    def to_surface(self, values: Tensor, fill: float = float("nan")) -> Tensor:
        """Values scattered to the whole mesh: (..., n_voxels) -> (..., n_mesh_vertices).

        Integer and boolean values become float32 where ``fill`` is not finite.

        Args:
            values: last axis is this space's voxels.
            fill: what the vertices outside the space hold.

        Raises:
            ValueError: the space has no vertices, or the last axis has another length.

        >>> space = BrainSpace(vertices=torch.tensor([2, 0]), mesh="fsaverage5")
        >>> space.to_surface(torch.tensor([1., 2.]))[:4].tolist()
        [2.0, nan, 1.0, nan]
        """
        self._require_surface()
        return self._scatter(values, self.vertices, self.n_mesh_vertices, fill)

    def to_volume(self, values: Tensor, fill: float = float("nan")) -> nibabel.Nifti1Image:
        """A NIfTI image (X, Y, Z), or (X, Y, Z, k) for k rows of values, with ``fill`` outside the mask.

        Args:
            values: (n_voxels,) or (k, n_voxels).
            fill: what voxels outside the space hold; 0 for viewers that cannot show NaN.

        Raises:
            ValueError: the space has no volume, or the values another shape.
        """
        if self.mask is None:
            raise ValueError(f"{self!r} has no volume: to_volume needs mask and affine.")
        import nibabel

        values = torch.as_tensor(values)
        if values.ndim > 2:
            raise ValueError(f"values must be (n_voxels,) or (k, n_voxels), got shape {tuple(values.shape)}.")
        flat = self._scatter(values, self.volume_index, self.mask.numel(), fill)
        volume = flat.view(*flat.shape[:-1], *self.mask.shape)
        if volume.ndim == 4:
            volume = volume.movedim(0, -1)
        return nibabel.Nifti1Image(volume.float().numpy(), self.affine.numpy())

    def to_sensors(self, values: Tensor, fill: float = float("nan")) -> Tensor:
        """Values by sensor and time: (..., n_voxels) -> (..., n_sensors, n_times).

        Sensors are in the order of :attr:`sensor_names`, times in that of :attr:`time_points`.

        Args:
            values: last axis is this space's voxels.
            fill: what a sensor holds at a time that is not in this space.

        Raises:
            ValueError: the space has no sensors or no times, or the last axis has another length.

        >>> space = BrainSpace(sensors=["Oz", "Oz", "Pz"], times=torch.tensor([0.1, 0.2, 0.2]))
        >>> space.to_sensors(torch.tensor([1.0, 2.0, 3.0])).tolist()
        [[1.0, 2.0], [nan, 3.0]]
        """
        if self.sensors is None or self.times is None:
            raise ValueError(f"{self!r} has no courses over time: it needs sensors and times, see sensor_space().")
        names, points = self.sensor_names, self.time_points
        place = {name: row for row, name in enumerate(names)}
        row = torch.tensor([place[name] for name in self.sensors])
        flat = self._scatter(values, row * len(points) + torch.searchsorted(points, self.times),
                             len(names) * len(points), fill)  # fmt: skip
        return flat.unflatten(-1, (len(names), len(points)))

    def _scatter(self, values: Tensor, index: Tensor, size: int, fill: float) -> Tensor:
        values = torch.as_tensor(values).detach().cpu()
        if values.ndim == 0 or values.shape[-1] != self.n_voxels:
            raise ValueError(
                f"values have shape {tuple(values.shape)}; their last axis must be the {self.n_voxels} voxels."
            )
        if not values.is_floating_point() and not np.isfinite(fill):
            values = values.float()
        full = torch.full((*values.shape[:-1], size), fill, dtype=values.dtype)
        full[..., index] = values
        return full

    def to_arrays(self) -> dict[str, np.ndarray]:
        """The space as plain arrays, for ``np.savez``; :meth:`from_arrays` reads them back.

        >>> space = BrainSpace.free(3, {"V4": torch.ones(3).bool()})
        >>> BrainSpace.from_arrays(space.to_arrays()).roi_names
        ('V4',)
        """
        arrays = {"n_voxels": np.asarray(self.n_voxels)}
        for name in (item.name for item in fields(self) if item.name not in ("rois", "n_voxels")):
            value = getattr(self, name)
            if value is not None:
                arrays[name] = np.asarray(value)
        return arrays | {_ROI_PREFIX + name: mask.numpy() for name, mask in self.rois.items()}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> BrainSpace:
        """The space written by :meth:`to_arrays`; other keys in ``arrays`` are left alone."""
        names = {item.name for item in fields(cls)} - {"rois", "mesh", "n_voxels"}
        return cls(
            **{name: arrays[name] for name in names if name in arrays},
            mesh=str(arrays["mesh"]) if "mesh" in arrays else None,
            n_voxels=int(arrays["n_voxels"]),
            rois={key.removeprefix(_ROI_PREFIX): arrays[key] for key in arrays if key.startswith(_ROI_PREFIX)},
        )

    def _require_surface(self) -> None:
        if self.vertices is None:
            raise ValueError(f"{self!r} has no surface: it needs vertices and mesh.")

    def _repr_html_(self) -> str:
        """What a notebook shows: where the voxels are, and how many each region has."""
        rois = [(name, int(mask.sum())) for name, mask in self.rois.items()]
        return table_html("BrainSpace", [("voxels", self.n_voxels), ("place", self.place)], ("ROI", "voxels"), rois)

    def __repr__(self) -> str:
        names = list(self.rois)
        listing = ", ".join(names[:6]) + (f", ... ({len(names)})" if len(names) > 6 else "")
        return f"BrainSpace({self.n_voxels} voxels, {self.place}" + (f", rois: {listing})" if names else ")")

    @property
    def place(self) -> str:
        """Where the voxels are, in words.

        >>> BrainSpace(sensors=["O1", "O2"]).place
        '2 sensors'
        """
        if self.mesh is not None:
            return f"vertices of {self.mesh}"
        if self.mask is not None:
            return f"volume {'x'.join(map(str, self.mask.shape))}"
        if self.sensors is not None:
            over_time = "" if self.times is None else f" x {len(self.time_points)} times"
            return f"{len(self.sensor_names)} sensors{over_time}"
        return "no place" if self.coords is None else "coordinates only"


def _as_tensor(value: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    return None if value is None else torch.as_tensor(value).detach().to("cpu", dtype)


def _as_index(value: Tensor | None, name: str) -> Tensor | None:
    if value is None:
        return None
    value = torch.as_tensor(value).cpu()
    if value.dtype == torch.bool or value.is_floating_point() or value.ndim != 1:
        raise ValueError(f"{name} must be a 1-D tensor of integers, got {value.dtype} of shape {tuple(value.shape)}.")
    return value.long()


def _as_mask(value: Tensor | None, name: str) -> Tensor | None:
    if value is None:
        return None
    value = torch.as_tensor(value).cpu()
    if value.dtype != torch.bool:
        raise ValueError(f"{name} must be a boolean mask, got {value.dtype}; a list of indices is not a mask.")
    return value


def _pick(value: Any, index: Tensor) -> Any:
    if isinstance(value, tuple):
        return tuple(value[place] for place in index.tolist())
    return None if value is None else value[index]
