"""The study's outcome for a terminal: what was injected and found, each forecast's fate, and every miss in full."""

from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Group
from rich.table import Table
from rich.text import Text

from vergence.studies.forecast.rules import HIT, MISS, NO_NUMBER

_MARKS = {HIT: ("hit", "green"), MISS: ("MISS", "bold red"), NO_NUMBER: ("–", "dim")}


def show(verdict: dict[str, Any], folder: Path) -> Group:
    """Lay out a finished study.

    Args:
        verdict: What `run_forecast` returned.
        folder: Where its table lies.

    Returns:
        Tables and lines that rich prints within 80 columns.
    """
    table = pd.read_csv(folder / "table.csv")
    misses = [_miss(row) for row in verdict["misses"]]
    overall = verdict["overall"]
    judged = overall[HIT] + overall[MISS]
    line = (
        f"{overall[HIT]} of {judged} forecasts hit; {overall[NO_NUMBER]} name no number. Saying of each of the {judged}"
        f" that it will be learned would have hit {verdict['hits_if_all_were_said_to_be_learned']}."
    )
    return Group(_recovered(verdict["recovered"]), "", _grid(table), "", _counts(verdict), "", *map(Text, misses), line)


def _miss(row: dict[str, Any]) -> str:
    rule = f"score ≥ {row['at_least']:.2f}" if row["at_least"] is not None else f"upper end ≤ {row['at_most']:.2f}"
    given = "" if row["given_size"] else " (from the captions alone)"
    value, low, high, before = (f"{row[key]:.2f}" for key in ("value", "low", "high", "untrained"))
    said = f"{_words(row['factor'])} {row['statement']}{given}, {rule}"
    measured = f"measured {value} [{low}, {high}], before training {before}"
    return f"MISS  {_setting(row)}, {row['encoding_size']} outputs: {said}; {measured}"


def _recovered(rows: list[dict[str, Any]]) -> Table:
    grid = Table(box=None, title="Audit of the captions: injected rates recovered?", title_justify="left")
    for name in ("captions", "factor", "rate", "injected", "found", "95 % interval", ""):
        grid.add_column(name)
    for row in rows:
        cells = [_setting(row), _words(row["factor"]), row["rate"], f"{row['injected']:.2f}", f"{row['estimate']:.3f}"]
        grid.add_row(*cells, Text(f"[{row['low']:.3f}, {row['high']:.3f}]"), "yes" if row["covered"] else "NO")
    return grid


def _grid(table: pd.DataFrame) -> Table:
    rows = table[table["given_size"]]
    factors = list(dict.fromkeys(rows["factor"]))
    grid = Table(box=None, title="Matthews correlation on unseen concepts; forecast hit?", title_justify="left")
    for name in ("captions", "outputs", *map(_words, factors)):
        grid.add_column(name)
    for (seed, setting, size), part in rows.groupby(["seed", "setting", "encoding_size"], sort=False):
        by_factor = part.set_index("factor")
        cells = []
        for factor in factors:
            mark, style = _MARKS[by_factor.loc[factor, "outcome"]]
            cells.append(Text(f"{by_factor.loc[factor, 'value']:5.2f} {mark}", style=style))
        grid.add_row(_setting({"seed": seed, "setting": setting}), str(size), *cells)
    return grid


def _counts(verdict: dict[str, Any]) -> Table:
    grid = Table(box=None)
    for name in ("forecast", HIT, MISS, NO_NUMBER):
        grid.add_column(name)
    for statement, count in [*verdict["by_statement"].items(), ("all", verdict["overall"])]:
        grid.add_row(statement, *(str(count[outcome]) for outcome in (HIT, MISS, NO_NUMBER)))
    return grid


def _setting(row: dict[str, Any]) -> str:
    return str(row["setting"]) + (f", seed {row['seed']}" if row["seed"] else "")


def _words(name: str) -> str:
    return name.replace("_", " ")
