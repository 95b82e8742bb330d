"""The pictures of a gallery page are the files that its script saves: figures of brainnet are values, not windows."""

from __future__ import annotations

import shutil
from pathlib import Path


class SavedPictures:
    """Scraper of sphinx-gallery that takes the ``.png`` files which a block of a script wrote."""

    def __repr__(self) -> str:
        return "SavedPictures()"

    def __call__(self, block: tuple, block_vars: dict, gallery_conf: dict) -> str:
        """The directives that show the pictures which are new since the last block."""
        from sphinx_gallery.scrapers import figure_rst

        targets = block_vars["image_path_iterator"]
        shown = []
        for path in sorted(Path.cwd().glob("*.png"), key=lambda path: path.stat().st_mtime_ns):
            shown.append(next(targets))
            shutil.move(path, shown[-1])
        return figure_rst(shown, gallery_conf["src_dir"])


def _get_sg_image_scraper() -> SavedPictures:
    return SavedPictures()
