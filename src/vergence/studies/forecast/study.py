"""The loop closed: injected biases are audited from captions alone, forecast, and held against trainings."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup
from rich.console import Group, RenderableType

from vergence.plots import forecast_beside_measurement
from vergence.probes.floors import shares
from vergence.reports.page import Section, grid, prose
from vergence.reports.words import show as number
from vergence.reports.words import words
from vergence.studies.demo.drawings import DrawingsStudy, ends_of
from vergence.studies.demo.spec import CEILING, FLOOR, LARGE_SIZE, MAIN_SIZE, Teaching
from vergence.studies.demo.study import UNTAUGHT_STAYS
from vergence.studies.forecast.audit import Audit, Record, audit_of, records, recovered
from vergence.studies.forecast.spec import RECIPES, SETTINGS, SMOKE
from vergence.studies.study import Claim, Drawing, Finished, Row
from vergence.studies.table import as_row
from vergence.terminal import grid as terminal_grid
from vergence.theory import Outcome

FORECASTS_TRUE = 0.8
"""Set before any training was held against it on this scale: who curates captions has no use for a forecast that is
wrong more often than once in five."""

_MISSED = (str(Outcome.BELOW), str(Outcome.ABOVE))
_OPEN = (str(Outcome.OPEN), str(Outcome.UNMEASURED))


@dataclass(frozen=True)
class ForecastStudy(DrawingsStudy):
    """Audit captions with known biases, forecast, train, and count what came true."""

    name = "forecast"
    description = "biases injected into the embedded set's captions: audited, forecast, and held against trainings"
    scales = tuple(RECIPES)
    foretold = ("told", "statement", "block")

    def seeds(self, scale: str) -> int:
        """One: a training takes a minute."""
        return 1

    def job(self, scale: str) -> Mapping[str, Any]:
        """Which settings, trained how."""
        return {"job": "study", "study": "forecast", "settings": {"scale": scale, **asdict(RECIPES[scale])}}

    def runs(self, scale: str, seeds: int) -> list[Teaching]:
        """Every setting at the size of its block as the audit finds it, and at the demo's two; floors at every size."""
        found = []
        for seed in range(seeds):
            make = partial(Teaching, seed=seed, recipe=RECIPES[scale])
            specs = [
                make(name=name, policy=SETTINGS[name], encoding_size=size)
                for name in (SMOKE if scale == "smoke" else SETTINGS)
                for size in sorted({len(_audit(make(name=name, policy=SETTINGS[name], encoding_size=1)).block),
                                    MAIN_SIZE, LARGE_SIZE})
            ]  # fmt: skip
            sizes = sorted({spec.encoding_size for spec in specs})
            found += [make(name=CEILING, encoding_size=MAIN_SIZE), *specs]
            found += [make(name=FLOOR, encoding_size=size) for size in sizes]
        return found

    def predict(self, spec: Teaching) -> list[Row]:
        """What follows from the audit, with a floor of 0 and a ceiling of 1."""
        if spec.policy is None:
            return []
        audit = _audit(spec)
        said = audit.statements(encoding_size=spec.encoding_size)
        return [
            {
                "factor": name,
                **as_row(one),
                "told": None,
                "statement": said[name],
                "block": len(audit.block),
            }
            for name, one in audit.predict(encoding_size=spec.encoding_size).items()
        ]

    def announce(self, specs: Sequence[Teaching]) -> Row:
        """What the audits found."""
        return {
            "audits": [
                {"captions": name, "seed": seed, "estimate": records(audit.estimate.factors), "recovered": rows}
                for (name, seed), (audit, rows) in _audits(specs).items()
            ]
        }

    def on_scale(self, spec: Teaching, rows: pd.DataFrame, ends: Mapping[str, pd.DataFrame]) -> Mapping[str, list[Any]]:
        """The audit's predictions between floor and ceiling."""
        floor, ceiling = ends_of(rows, ends)
        said = _audit(spec).predict(encoding_size=spec.encoding_size, floor=floor, ceiling=ceiling)
        ordered = [said[name] for name in rows["factor"]]
        return {
            "predicted_low": [one.low for one in ordered],
            "predicted_high": [one.high for one in ordered],
            "expected": [np.nan if one.expected is None else one.expected for one in ordered],
            "reason": [one.reason for one in ordered],
        }

    def summary(self, table: pd.DataFrame, runs: Sequence[Finished[Teaching]]) -> Row:
        """Injected beside found rates, counts by statement, and every forecast that did not come true."""
        told = self.captioned(table)
        counts = {
            str(said): {str(name): int(n) for name, n in part["outcome"].value_counts().items()}
            for said, part in told.groupby("statement", sort=False)
        }
        columns = ["run", "factor", "statement", "value", "low", "high", "predicted_low", "predicted_high", "outcome"]
        missed = told[told["outcome"].isin(_MISSED)]
        audits = _audits([run.spec for run in runs])
        return {
            "recovered": [
                {"captions": name, "seed": seed, **row} for (name, seed), (_, rows) in audits.items() for row in rows
            ],
            "by_statement": counts,
            "missed": missed[columns].to_dict("records"),
            "called_learned": _bold(told[~told["outcome"].isin(_OPEN)]),
        }

    def claims(self, table: pd.DataFrame) -> list[Claim]:
        """Of forecasts that bound a score: how many came true, and of which settings the fewest."""
        told = self.captioned(table) if len(table) else table
        bounded = told[~told["outcome"].isin(_OPEN)] if len(told) else told
        true = (bounded["outcome"] == str(Outcome.AGREES)).groupby(bounded["captions"]).mean() if len(bounded) else None
        share = float(true.mean()) if true is not None else np.nan
        lower = bounded[bounded["predicted_high"] < bounded["ceiling"]] if len(bounded) else bounded
        warned = float((lower["outcome"] == str(Outcome.AGREES)).mean()) if len(lower) else np.nan
        gone = told[(told["captions"] == "tone omitted 1") & (told["factor"] == "skin_tone")] if len(told) else told
        at_main = gone[gone["encoding_size"] == MAIN_SIZE] if len(gone) else gone
        up = float(shares(at_main).max()) if len(at_main) else np.nan
        full = not len(table) or bool((table["epochs"] >= RECIPES["cpu"].training.epochs).all())
        least = FORECASTS_TRUE if full else None
        return [
            Claim(
                statement="forecasts that bound a score: share as predicted, mean over captions",
                measured=share,
                at_least=least,
            ),
            Claim(
                statement="the same, least over captions",
                measured=float(true.min()) if true is not None else np.nan,
                where=str(true.idxmin()) if true is not None else "",
            ),
            Claim(statement="warnings, bounds below the ceiling: share as predicted", measured=warned, at_least=least),
            Claim(
                statement=f"skin tone omitted from all captions, {MAIN_SIZE} outputs: way from floor to ceiling",
                measured=up,
                at_most=UNTAUGHT_STAYS if full else None,
            ),
            Claim(statement="the bounded scores, had each been called learned: share", measured=_bold(bounded)),
            Claim(
                statement="scores of captions that a forecast bounds: share", measured=len(bounded) / max(1, len(told))
            ),
        ]

    def headline(self, verdict: Row) -> str:
        """How many forecasts came true."""
        counts = pd.DataFrame(verdict["by_statement"]).sum(axis=1)
        agreed = int(counts.get(str(Outcome.AGREES), 0))
        bounded = agreed + int(sum(counts.get(name, 0) for name in _MISSED))
        bold = verdict["called_learned"] or 0.0
        bold = 0.0 if np.isnan(bold) else bold
        covered = sum(row["covered"] for row in verdict["recovered"])
        return (
            f"{agreed} of {bounded} forecasts from captions alone came true, {round(bold * bounded)} had all been "
            f"called learned; the audit found {covered} of {len(verdict['recovered'])} injected rates"
        )

    def figures(self, table: pd.DataFrame) -> dict[str, Drawing]:
        """Where each score was said to lie, and where it does."""
        rows = self.captioned(table)
        rows = rows[rows["seed"] == rows["seed"].min()]
        return {
            "forecast": Drawing(
                "Scores with their intervals over what the audit of the captions said they would be (grey).",
                forecast_beside_measurement(rows),
                forecast_beside_measurement(rows, n_columns=1),
            )
        }

    def sections(
        self, table: pd.DataFrame, runs: Sequence[Finished[Teaching]], pictures: Mapping[str, Markup]
    ) -> list[Section]:
        """Rates found, the figure, and every score beside its forecast."""
        audits = _audits([run.spec for run in runs])
        rows = [_rate_cells({"captions": name, **row}) for (name, _), (_, found) in audits.items() for row in found]
        about = prose(
            "Biases are injected into captions at known rates. An audit sees the captions and labels of what the "
            "images show, nothing else; what it forecasts is written down before anything is trained."
        )
        return [
            Section("Forecast and measured", Markup("").join(pictures.values())),
            Section("Were the injected rates found?", about + grid(_RATES, rows, label="Injected and found rates")),
            Section("Score by score", self.comparison(table)),
        ]

    def show(self, verdict: Row, table: pd.DataFrame) -> RenderableType:
        """Rates found, what became of each statement, and what did not come true."""
        rates = terminal_grid(_RATES, [_rate_cells(row) for row in verdict["recovered"]], left=_RATES[:3])
        names = [str(name) for name in Outcome if any(str(name) in one for one in verdict["by_statement"].values())]
        counts = terminal_grid(
            ("forecast", *names),
            [(said, *(one.get(name, 0) for name in names)) for said, one in verdict["by_statement"].items()],
            left=("forecast",),
        )
        missed = [
            f"{row['run']}, {words(row['factor'])}: {row['outcome']}; {number(row['value'])} "
            f"[{number(row['low'])}, {number(row['high'])}], foretold {number(row['predicted_low'])} to "
            f"{number(row['predicted_high'])}"
            for row in verdict["missed"]
        ]
        return Group(rates, "", counts, "", *missed, self.headline(verdict))


def _bold(bounded: pd.DataFrame) -> float:
    """Share of scores whose interval comes near the ceiling: what a forecast that never warns would get right."""
    if not len(bounded):
        return np.nan
    return float((bounded["high"] + DrawingsStudy.margin >= bounded["ceiling"]).mean())


_RATES = ("captions", "factor", "rate", "injected", "found", "95 %", "inside")


def _rate_cells(row: Record) -> list[str]:
    interval = f"{row['low']:.3f}–{row['high']:.3f}"
    covered = "yes" if row["covered"] else "NO"
    found = [f"{row['injected']:.2f}", f"{row['estimate']:.3f}", interval, covered]
    return [str(row["captions"]), words(row["factor"]), row["rate"], *found]


def _audit(spec: Teaching) -> Audit:
    assert spec.policy is not None
    return audit_of(spec.policy, seed=spec.seed, recipe=spec.recipe)


def _audits(specs: Sequence[Teaching]) -> dict[tuple[str, int], tuple[Audit, list[Record]]]:
    """By captions and seed, the audit and what it recovered."""
    found = {(spec.name, spec.seed): spec for spec in specs if spec.policy is not None}
    return {key: (audit := _audit(spec), recovered(audit, SETTINGS[spec.name])) for key, spec in found.items()}
