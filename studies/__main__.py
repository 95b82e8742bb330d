"""Runs one study by name and compares its numbers with the expected ones; without a name, lists them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from studies.form import FORMS, MissingData, WrongData, compare, data_folder, pin, read, run, studies, write


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser("python -m studies", description=__doc__)
    parser.add_argument("name", nargs="?", choices=studies(), help="the study; without it, all are listed")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--small", action="store_true", help="the form that the tests run, of seconds")
    form.add_argument("--full", action="store_true", help="on the published data, where you have them")
    parser.add_argument("--data", type=Path, help="folder of data (default: $BRAINNET_TEST_DATA, or ../shared/data)")
    parser.add_argument("--out", type=Path, help="folder for numbers.csv, numbers.json and figure.png")
    parser.add_argument("--pin", action="store_true", help="write what is found as expected where nothing published is")
    given = parser.parse_args(argv)
    if given.name is None:
        print("\n".join(f"{name:18} {read(name).question}" for name in studies()))
        return 0
    form = next((one for one in FORMS if getattr(given, one, False)), "default")
    try:
        numbers, figure = run(given.name, form, data_folder(given.data))
    except (MissingData, WrongData) as error:
        print(error, file=sys.stderr)
        return 2
    if given.pin:
        pin(given.name, form, numbers)
    table = compare(numbers, read(given.name).expected.get(form, {}))
    print(table.drop(columns="source").to_string(index=False))
    if given.out is not None:
        write(given.out, table, figure)
    counts = table.verdict.value_counts()
    others = "".join(f", {count} {verdict}" for verdict, count in counts.items() if verdict != "as expected")
    print(f"{counts.get('as expected', 0)} of {len(table)} numbers are as expected{others}")
    # of the published data a user may have a part, and not every number of theirs was published
    harmless = {"as expected", *(("not pinned", "not computed") if form == "full" else ())}
    return int(not set(counts.index) <= harmless)


if __name__ == "__main__":
    sys.exit(main())
