"""How every benchmark measures: each side in a process of its own, our side and the peer's in the same run, medians.

*Peak memory* is the peak resident memory of a fresh process above its baseline, which is taken after imports and one
small warm-up call; so inputs count. *Seconds* are the median of several calls in each of several processes, which
alternate between the sides. Ratios are ours over the peer's: below 1 is better.
"""

import gc
import json
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

import torch

Value = float | Mapping[str, Any] | None
Run = Callable[[], Value]  # what is timed; returns what both sides must agree on, or what else it found, if anything
Result = dict[str, Any]

_PROC = Path("/proc/self")
_MB = 1e6


@dataclass(frozen=True, kw_only=True)
class Side:
    """One way to do the work.

    Args:
        make: A function at the top of its module, from sizes to what is timed. It builds the inputs.
        sizes: What to measure.
        small: What to warm up with.
    """

    make: Callable[..., Run]
    sizes: Mapping[str, Any]
    small: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Case:
    """One comparison.

    Args:
        name: What is done, on what.
        ours: Our side.
        peer: The other side; `None` if nothing else can do it here.
        repeats: Timed calls per process.
        rounds: Processes per side.
        items: How many items a call goes through, where a rate says more than a time.
    """

    name: str
    ours: Side
    peer: Side | None = None
    repeats: int = 3
    rounds: int = 3
    items: int | None = None


def measure(cases: Iterable[Case]) -> Iterator[Result]:
    """Run every case; say on stderr which, and yield each result as soon as it is there."""
    for case in cases:
        print(case.name, end=" ", file=sys.stderr, flush=True)
        sides = {"ours": case.ours} | ({"peer": case.peer} if case.peer else {})
        runs: dict[str, list[Result]] = {name: [] for name in sides}
        for _ in range(case.rounds):
            for name, done in runs.items():
                done.append(_in_fresh_process(sides[name], case.repeats))
        result = _summary(runs, case.items)
        print(json.dumps(result), file=sys.stderr, flush=True)
        yield {"name": case.name, **result}


def context(command: str, seed: int, packages: Iterable[str]) -> Result:
    """Say what a result depends on: command, versions, seed, date, machine."""
    return {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "seed": seed,
        "threads": torch.get_num_threads(),
        "machine": f"{platform.machine()}, {platform.system()}",
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in packages}},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"


def _summary(runs: Mapping[str, list[Result]], items: int | None) -> Result:
    sides = {}
    for name, results in runs.items():
        sides[name] = {
            "seconds": float(f"{median(second for result in results for second in result['seconds']):.4g}"),
            "peak_mb": round(median(result["peak_mb"] for result in results), 1),
        }
        if items is not None:
            sides[name]["items_per_second"] = round(items / sides[name]["seconds"])
        if results[0]["value"] is not None:
            sides[name]["value"] = results[0]["value"]
    if "peer" not in sides:
        return {**sides, "peer": None}
    ours, peer = sides["ours"], sides["peer"]
    return {
        **sides,
        "time_ratio": float(f"{ours['seconds'] / peer['seconds']:.3g}"),
        "memory_ratio": float(f"{ours['peak_mb'] / peer['peak_mb']:.3g}") if peer["peak_mb"] > 0 else None,
    }


def _in_fresh_process(side: Side, repeats: int) -> Result:
    request = {
        "make": f"{side.make.__module__}:{side.make.__qualname__}",
        "sizes": dict(side.sizes),
        "small": dict(side.sizes) | dict(side.small),
        "repeats": repeats,
    }
    command = [sys.executable, "-m", "benchmarks.measure", json.dumps(request)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{request['make']} failed:\n{done.stderr}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def _measure_here(request: Mapping[str, Any]) -> Result:
    module, _, name = request["make"].partition(":")
    make = getattr(import_module(module), name)
    make(**request["small"])()
    gc.collect()
    baseline = _reset_peak()
    run = make(**request["sizes"])
    seconds = []
    for _ in range(request["repeats"]):
        start = time.perf_counter()
        value = run()
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "peak_mb": (_peak() - baseline) / _MB, "value": value}


def _reset_peak() -> float:
    """Make the present resident memory the peak, and return it in bytes."""
    if (_PROC / "clear_refs").exists():
        (_PROC / "clear_refs").write_text("5")
    return _peak()


def _peak() -> float:
    if (_PROC / "status").exists():
        line = next(line for line in (_PROC / "status").read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    print(json.dumps(_measure_here(json.loads(sys.argv[1]))))
