"""Run benchmarks by name, print JSON, and write it to `benchmarks/results/NAME.json` on demand."""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import benchmarks
from benchmarks.measure import context, measure

RESULTS = Path(__file__).parent / "results"
NAMES = sorted(
    module.name for module in iter_modules(benchmarks.__path__) if module.name not in {"__main__", "measure"}
)


def main() -> int:
    """Run what was asked for.

    A benchmark is a module with `cases()`; it may set `SEED`, and `PACKAGES`, whose versions the result records.
    """
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(NAMES)}; all of them by default")
    parser.add_argument("--write", action="store_true", help="also write benchmarks/results/NAME.json")
    options = parser.parse_args()
    for name in options.names:
        if name not in NAMES:
            parser.error(f"unknown benchmark {name!r}; known: {', '.join(NAMES)}")
    for name in options.names or NAMES:
        module = import_module(f"benchmarks.{name}")
        packages = ("vergence", "torch", *getattr(module, "PACKAGES", ()))
        about = context(f"python -m benchmarks {name}", getattr(module, "SEED", 0), packages)
        result: dict[str, Any] = {**about, "complete": False, "cases": []}
        for case in measure(module.cases()):
            result["cases"].append(case)
            _write(name, result, to_file=options.write)  # an interrupted run keeps what it has measured
        result["complete"] = True
        print(_write(name, result, to_file=options.write))
    return 0


def _write(name: str, result: dict[str, Any], *, to_file: bool) -> str:
    text = json.dumps(result, indent=1)
    if to_file:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{name}.json").write_text(text + "\n")
    return text


if __name__ == "__main__":
    sys.exit(main())
