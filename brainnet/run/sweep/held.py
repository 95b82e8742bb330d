"""What a worker of a sweep holds in memory: one network, and data sets of the subjects it is at; and token stores.

Token stores lie in files. All subjects who saw the same stimuli read one, whoever made it; a store is there as long as
a cell of its network is left, and then goes unless the sweep keeps it.
"""

from __future__ import annotations

import gc
import logging
import time
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from yacs.config import CfgNode

from brainnet._files import locked, read_json, sha256, slug, write_json
from brainnet._work import at_work, device_of
from brainnet.dataset import ResponseDataset
from brainnet.plmodel import build_dataset
from brainnet.run.encoding.networks import Network, check_networks
from brainnet.run.record.card import data_card, opening
from brainnet.run.sweep.plan import RANDOM, SHUFFLED, Cell, Chosen, Plan
from brainnet.store import TokenStore, backbones_unchanged

log = logging.getLogger(__name__)

TOKENS, SUBJECTS = "tokens", "subjects"
DATA_BYTES = 4e9  # of responses that a worker keeps for the next network


class Busy(Exception):
    """Another worker is at it: come back later."""


class Held:
    """One worker's network, data sets and stores; ``plan`` and ``out`` are those of the sweep."""

    def __init__(self, plan: Plan, out: Path):
        self.plan, self.out = plan, out
        self._data: OrderedDict[str, ResponseDataset] = OrderedDict()
        self._network: tuple[tuple[str, str], Any] | None = None
        self._opening: dict[str, Any] | None = None
        self._broken: dict[tuple[str, str], str] = {}

    # ---------------------------------------------------------------- data

    def dataset(self, cell: Cell) -> ResponseDataset:
        """The responses that a cell is about; those of the control are shuffled."""
        found = self.data_of(self.plan.definition.config_of(cell.subject, cell.method), cell.subject)
        return found.shuffled(self.plan.definition.seed) if cell.control == SHUFFLED else found

    def data_of(self, cfg: CfgNode, subject: str) -> ResponseDataset:
        """The data set of some settings, read once as long as there is room."""
        key = sha256(subject, cfg.DATASET.dump(), str(cfg.SEED))
        if key not in self._data:
            self._data[key] = build_dataset(cfg, None)
        self._data.move_to_end(key)
        while len(self._data) > 1 and sum(one.responses.nbytes for one in self._data.values()) > DATA_BYTES:
            self._data.popitem(last=False)
        return self._data[key]

    def survey(self, subject: str) -> dict[str, Any]:
        """What is known of a subject's data: sizes, regions, its card and a digest of its stimuli; kept in the folder.

        Raises:
            ValueError, FileNotFoundError: as of the data set, with the subject's name in front.
        """
        cfg = self.plan.definition.config_of(subject)
        path = self.out / SUBJECTS / f"{slug(subject)}.json"
        identity = sha256(cfg.DATASET.dump(), str(cfg.SEED))
        try:
            known = read_json(path)
            if known.get("identity") == identity:
                return known
        except (FileNotFoundError, ValueError):
            pass
        try:
            dataset = self.data_of(cfg, subject)
        except (ValueError, FileNotFoundError) as error:
            raise type(error)(f"subject {subject}: {error}") from error
        if not dataset.usable.any():
            raise ValueError(f"subject {subject}: none of the {dataset.n_voxels} voxels can be scored.")
        known = {
            "identity": identity,
            "stimuli": stimuli_of(dataset),
            "n_images": len(dataset),
            "n_voxels": dataset.n_voxels,
            "rois": list(dataset.space.rois),
            "has_ceiling": dataset.noise_ceiling is not None,
            **data_card(cfg.DATASET.NAME, dataset),
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, known)
        return known

    def opening(self, kind: str, packages: Sequence[str]) -> dict[str, Any]:
        """The first entries of a card; versions, commit and machine are looked up once."""
        if self._opening is None:
            self._opening = opening(kind, packages)
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        return {**self._opening, "kind": kind, "created": now}

    # ---------------------------------------------------------------- networks and tokens

    def backbone(self, network: Chosen, tokens_of: str) -> Any:
        """The network, or its random twin; the one before is let go first."""
        key = (network.key, tokens_of)
        if key in self._broken:  # not fetched or built again for each of its cells
            raise ValueError(self._broken[key])
        if self._network is None or self._network[0] != key:
            self.let_go()
            try:
                self._network = (key, self.network_of(network, tokens_of).build())
            except Exception as error:
                self._broken[key] = str(error)
                raise
        return self._network[1]

    def network_of(self, network: Chosen, tokens_of: str) -> Network:
        """What a network, or its random twin, is built from."""
        asked = self.plan.definition
        planned = network.network(asked.precision, asked.image_size)
        if tokens_of == RANDOM:
            with backbones_unchanged():
                known, built = check_networks([planned], (), True, asked.seed)
            del built
            planned = known[0].twin
        return planned

    def let_go(self) -> None:
        """Forgets the network."""
        self._network = None
        gc.collect()

    def store_path(self, cell: Cell) -> Path:
        """Where the tokens lie that a cell reads."""
        cfg = self.plan.definition.config_of(cell.subject, cell.method)
        grid, resize = tuple(cfg.MODEL.GRID), cfg.MODEL.RESIZE
        seen = sha256(self.survey(cell.subject)["stimuli"], f"{grid} {resize}")[:12]
        return self.out / TOKENS / cell.network.key / f"{cell.tokens_of or 'own'}_{seen}.bin"

    def store(self, cell: Cell) -> TokenStore:
        """The tokens of the stimuli that a cell is about, made where they are not there yet.

        Raises:
            Busy: another worker is making them.
        """
        path = self.store_path(cell)
        try:
            return TokenStore.open(path)
        except (FileNotFoundError, ValueError):
            pass
        cfg = self.plan.definition.config_of(cell.subject, cell.method)
        dataset = self.data_of(cfg, cell.subject)
        with alone(path.with_name(f"{path.name}.making")):
            backbone = self.backbone(cell.network, cell.tokens_of)
            with at_work(backbone, device_of(self.plan.definition.device)), backbones_unchanged():
                return TokenStore.build(
                    backbone, dataset, path=path, grid=tuple(cfg.MODEL.GRID), resize=cfg.MODEL.RESIZE,
                    batch_size=cfg.TOKENS.BATCH_SIZE, progress=False, overwrite=True,
                )  # fmt: skip

    def drop_tokens(self, network: Chosen, tokens_of: str) -> None:
        """Deletes the stores of a network whose cells are all done, unless there is room to keep them."""
        folder = self.out / TOKENS / network.key
        try:
            mine = list(folder.glob(f"{tokens_of or 'own'}_*"))
            kept = sum(path.stat().st_size for path in (self.out / TOKENS).rglob("*.bin"))
            if kept > self.plan.definition.keep_tokens:
                for path in mine:
                    path.unlink(missing_ok=True)
                folder.rmdir()
        except OSError as error:  # another worker drops them too, or there are tokens of the random twin
            log.debug("tokens of %s: %s", network.label, error)


def stimuli_of(dataset: ResponseDataset) -> str:
    """A digest of the stimuli of a data set: which pictures, in which order, and how the data want them prepared."""
    own = "" if dataset.preprocessing is None else str(dataset.preprocessing)
    return sha256(dataset.signature(), "\n".join(dataset.image_ids), own)


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """For this worker alone.

    Raises:
        Busy: another one is at it.
    """
    held = ExitStack()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        held.enter_context(locked(path, wait=False, keep=False))
    except (BlockingIOError, FileNotFoundError):  # or another worker has just removed the empty folder
        raise Busy(str(path)) from None
    with held:
        yield
