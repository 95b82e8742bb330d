"""What a published data set is, where it comes from and how it lies on disk: said once, by its reader, for every door.

The command ``datasets``, the page of each reader in the docs, and the check of a folder all read it from here.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Download:
    """A file that may be fetched without a form; or, with ``files``, a folder of a bucket of S3.

    Words in braces in ``path``, ``address`` and ``files`` are filled from the options, as in :class:`About`.

    Args:
        path: where the reader looks for it, below the folder of the data set. Of an archive, the folder that its
            members go into, "" for that of the data set; a name that ends as archives do stands for its folder.
        address: of the file; of a folder in a bucket, "https://s3.amazonaws.com/BUCKET/FOLDER/" or
            "https://BUCKET.s3.amazonaws.com/FOLDER/".
        n_bytes: its exact length, without a digest another one is refused; None where it is not published.
        digest: "sha256:...", "sha1:..." or "md5:..." as published; "" where none is.
        unpack: it is an archive, and its members are what the reader looks for.
        option: of the reader that needs it, as "subject=2"; "" is always needed.
        mirrors: further addresses of the same bytes, for where the first fails.
        files: pattern of the files in the bucket, below ``address``, that go below ``path``; "*" takes all.
    """

    path: str
    address: str
    n_bytes: int | None = None
    digest: str = ""
    unpack: bool = False
    option: str = ""
    mirrors: tuple[str, ...] = ()
    files: str = ""


@dataclass(frozen=True)
class About:
    """What a person must know before a published data set is read.

    Args:
        title: its full name.
        kind: how it was measured: "fMRI", "EEG", "MEG", "spikes", "behavior" or "RDMs".
        what: one or two sentences: who saw what, how often, and what was measured.
        where: from where it is to be had, with addresses; and the form that must be filled in first, if any.
        terms: under which terms, as published; says so where they are not known.
        size: how large the parts are that are read, with units.
        steps: by hand, what to download and where to put it, a sentence each.
        layout: the files below the folder, a line each, as published.
        needs: patterns of files without which nothing can be read, as of ``Path.glob``; words in braces such as
            ``{subject:02d}`` are filled from the options.
        cite: BibTeX of what is to be cited.
        verified: on what the reader has been run, in one honest sentence.
        downloads: what may be fetched without a form.
        preset: the recipe of the line that fits a map, where none is of this data set alone.
    """

    title: str
    kind: str
    what: str
    where: str
    terms: str
    size: str
    layout: str
    cite: str
    verified: str
    steps: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    downloads: tuple[Download, ...] = ()
    preset: str = ""
