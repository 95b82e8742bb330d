"""Runs one benchmark by name: ``python -m benchmarks store --out``; without a name, lists them."""

from __future__ import annotations

import sys
from importlib import import_module
from pkgutil import iter_modules

import benchmarks


def main(argv: list[str]) -> int:
    """Hands the arguments after the name to that module's ``main``; gives its exit code."""
    names = sorted(module.name for module in iter_modules(benchmarks.__path__) if not module.name.startswith("_"))
    if not argv or argv[0] not in names:
        known = "\n".join(
            f"  {name:10} {import_module(f'benchmarks.{name}').__doc__.splitlines()[0]}" for name in names
        )
        print(f"usage: python -m benchmarks NAME [options]\n{known}", file=sys.stderr)
        return 0 if argv in ([], ["--help"], ["-h"]) else 2
    return import_module(f"benchmarks.{argv[0]}").main(argv[1:]) or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
