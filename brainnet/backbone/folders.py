"""Networks in a folder of the user's, "transformers:FOLDER", and code in a file, "mine.py:Net": names found anywhere.

A checkpoint names the full path. What travels to other people names the last part alone, and is looked for at hand.
"""

from __future__ import annotations

from pathlib import Path

FAMILY = "transformers:"


def full_name(name: str) -> str:
    """The name of a network, in which a file or a folder that is there is a full path.

    >>> full_name("timm:vit_tiny"), full_name("/home/me/mine.py:Net")
    ('timm:vit_tiny', '/home/me/mine.py:Net')
    """
    path, _, attribute = name.rpartition(":")
    if path.endswith(".py"):
        return f"{Path(path).resolve()}:{attribute}"
    before, family, place = name.rpartition(FAMILY)
    if family and place and Path(place).expanduser().is_dir():
        return f"{before}{family}{Path(place).expanduser().resolve()}"
    return name


def folder_of(name: str) -> Path | None:
    """The folder that a name gives by its full path; None of other names.

    >>> str(folder_of("video:transformers:/home/me/vit")), folder_of("transformers:me/vit")
    ('/home/me/vit', None)
    """
    before, family, place = name.rpartition(FAMILY)
    return Path(place) if family and before in ("", "video:") and Path(place).is_absolute() else None


def without_place(name: str) -> tuple[str, dict[str, str]]:
    """A name as it travels: of a folder its last part alone, and an entry that says that it is one.

    >>> without_place("transformers:/home/me/vit"), without_place("transformers:me/vit")
    (('transformers:vit', {'backbone_folder': 'vit'}), ('transformers:me/vit', {}))
    """
    folder = folder_of(name)
    if folder is None:
        return name, {}
    return name.removesuffix(str(folder)) + folder.name, {"backbone_folder": folder.name}


def at_hand(name: str, folder: str, beside: str | Path) -> str:
    """The full name of a network whose folder is known by its last part alone.

    Args:
        name: as it travels, "transformers:vit".
        folder: its last part, "vit", which is looked for in the working folder and in the one of ``beside``.
        beside: what reads the network.

    Raises:
        FileNotFoundError: it is in neither; says how to give the network.
    """
    found = next((place for place in (Path(folder), Path(beside).parent / folder) if place.is_dir()), None)
    if found is None:
        raise FileNotFoundError(
            f"{beside} reads a network in a folder {folder!r}, which is neither in {Path.cwd()} nor beside it: put it "
            f'there, or give the network, backbone=build_backbone("{FAMILY}FOLDER").'
        )
    return name.removesuffix(folder) + str(found.resolve())
