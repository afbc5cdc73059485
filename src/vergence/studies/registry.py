"""Every study by name: what it shows, what runs it, and how a terminal shows its outcome."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from rich.console import Group, RenderableType

from vergence.errors import ConfigError, unknown
from vergence.studies.forecast import run_forecast
from vergence.studies.forecast.show import show as show_forecast
from vergence.studies.misalignment2025 import STUDIES as NUMERIC
from vergence.studies.misalignment2025 import run_study
from vergence.terminal import plain


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A study.

    Args:
        description: What it shows, in one line.
        run: Runs it; keywords scale, out, present, command, progress, seeds, workers; gives its verdict.
        show: Lays out a verdict, given it and the folder of results.
        reuses: Whether `run` also takes `reuse`: folders of other studies to take runs over from.
    """

    description: str
    run: Callable[..., dict[str, Any]]
    show: Callable[[dict[str, Any], Path], RenderableType]
    reuses: bool = False


def study(name: str | None) -> Entry:
    """Look a study up.

    Raises:
        ConfigError: If there is none of that name, or no name, naming those that there are.
    """
    if name is None:
        raise ConfigError(f"name a study to run: {', '.join(STUDIES)}")
    if name not in STUDIES:
        raise ConfigError(unknown("study", name, STUDIES))
    return STUDIES[name]


def _claims(verdict: dict[str, Any], folder: Path) -> RenderableType:
    lines = []
    for claim in verdict["claims"]:
        bounded = "at_least" in claim or "at_most" in claim
        held = "   " if not bounded else "yes" if claim["holds"] else "NO "
        lines.append(plain(f"{held} {claim['claim']}: {claim['measured']}"))
    return Group(*lines)


STUDIES: Mapping[str, Entry] = MappingProxyType(
    {
        **{
            name: Entry(description=numeric.description, run=partial(run_study, name), show=_claims, reuses=True)
            for name, numeric in NUMERIC.items()
        },
        "forecast": Entry(
            description="biases injected into the embedded set's captions: audit, forecast, train, hits and misses",
            run=run_forecast,
            show=show_forecast,
        ),
    }
)
