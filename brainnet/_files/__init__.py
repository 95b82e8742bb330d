"""Files: names, digests, whole writes, locks, results that can be verified; what fetches them is in ``download``."""

from brainnet._files.locks import locked
from brainnet._files.names import (
    LONGEST_NAME,
    array_digest,
    cache_dir,
    file_digest,
    remember_digest,
    sha256,
    slug,
    weights_digest,
)
from brainnet._files.sealed import open_sealed, read_sealed, write_sealed
from brainnet._files.whole import plain, read_json, reading, write_csv, write_json, write_npz, write_text, writing

__all__ = [
    "locked", "LONGEST_NAME", "slug", "sha256", "array_digest", "weights_digest", "file_digest",
    "remember_digest", "cache_dir", "write_sealed", "read_sealed", "open_sealed", "writing", "write_text",
    "write_json", "write_csv", "write_npz", "reading", "plain", "read_json",
]  # fmt: skip
