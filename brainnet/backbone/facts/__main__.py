"""``python -m brainnet.backbone.facts`` makes ``networks.csv`` anew.

It asks every family of brainnet what it says of its networks, and counts the parameters of each on torch's device
"meta", which has no memory. A network that cannot be built is left out, and a line on the terminal says why.
``--count-all`` counts again also those that the file has already.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from brainnet.backbone import families
from brainnet.backbone.facts.counting import with_parameters
from brainnet.backbone.networks import FILE, Network, ask_family, installed_version, read_table, write_table


def main(words: list[str]) -> None:
    """Writes the file."""
    own = sorted(path.stem for path in Path(families.__path__[0]).glob("[!_]*.py"))
    kept, made_with = read_table()
    rows: list[Network] = []
    libraries: dict[str, tuple[str, str]] = {}
    for family in own:
        library = getattr(import_module(f"{families.__name__}.{family}"), "LIBRARY", "")
        if library:
            libraries[family] = (library, installed_version(library))
        holds = "--count-all" not in words and libraries.get(family) == made_with.get(family)
        counts = {network.name: network.parameters for network in kept.get(family, ())} if holds else {}
        found = [replace(n, parameters=n.parameters or counts.get(n.name)) for n in ask_family(family)]
        counted, refused = with_parameters(found)
        rows += counted
        sys.stdout.write(f"{family}: {len(counted)} networks\n")
        sys.stdout.writelines(f"  left out {name}: {why}\n" for name, why in refused.items())
    write_table(rows, libraries, FILE)
    sys.stdout.write(f"{FILE}: {len(rows)} networks\n")


if __name__ == "__main__":
    main(sys.argv[1:])
