"""The study `awareness-causal`: [cai2025]'s coverage and awareness, with the coverage assigned."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd
from markupsafe import Markup

from vergence.reports.page import Section
from vergence.studies.causal.claims import claims
from vergence.studies.causal.figures import figures
from vergence.studies.causal.predict import predictions
from vergence.studies.causal.sections import tables
from vergence.studies.causal.sets import load_concepts
from vergence.studies.causal.spec import LABELS, SCALES, CausalRun
from vergence.studies.causal.train import measure_run
from vergence.studies.study import Claim, Drawing, Finished, Result, Row, Study, Tell

_SETTINGS = ("assignment", "width", "encoding_size", "epochs")
_FORETOLD = ("predicted_low", "predicted_high", "expected")
_SAME = ["images", "seed", "width", "factor", "metric"]


class CausalStudy(Study[CausalRun]):
    """Coverage is assigned at random, independently of how hard a value is; beside it, coverage as it comes."""

    name = "awareness-causal"
    description = "whether captions that mention a value more often make a model see it: coverage assigned and observed"
    family = "awareness-causal"
    scales = tuple(SCALES)
    details = ("role", "support", "rate", "coverage", "mentions")
    foretold = ("strength",)
    margin = 0.1

    def seeds(self, scale: str) -> int:
        """Trials of each setting."""
        return SCALES[scale].seeds

    def job(self, scale: str) -> Mapping[str, Any]:
        """Study, scale and how it trains."""
        settings = {key: value for key, value in asdict(SCALES[scale]).items() if key != "seeds"}
        return {"job": "study", "study": self.name, "scale": scale, "settings": settings}

    def runs(self, scale: str, seeds: int) -> list[CausalRun]:
        """Every run, seed by seed."""
        return [run for seed in range(seeds) for run in SCALES[scale].runs_of_seed(seed)]

    def key(self, spec: CausalRun) -> Mapping[str, Any]:
        """All of the run."""
        return asdict(spec)

    def label(self, spec: CausalRun) -> str:
        """What tells it from the others."""
        captions = spec.taught_by.replace(" ", "-")
        return f"{spec.data.name}_{captions}_{spec.assignment}_width-{spec.width}_seed-{spec.seed}"

    def settings(self, spec: CausalRun) -> Row:
        """Those that differ between runs."""
        said = {"seed": spec.seed, "images": spec.data.name, "captions": spec.taught_by}
        return {**said, **{name: getattr(spec, name) for name in _SETTINGS}}

    def predict(self, spec: CausalRun) -> list[Row]:
        """What theory says of every value where chance is 0 and the ceiling 1: neither has been measured yet."""
        return [] if spec.taught_by == LABELS else predictions(spec, load_concepts(spec.data, seed=spec.seed))

    def measure(self, group: Sequence[CausalRun], *, folders: Sequence[Path], tell: Tell) -> list[Result]:
        """Train and score, one after another; nothing is left but numbers."""
        results = []
        for run, folder in zip(group, folders, strict=True):
            rows, curve = measure_run(run, load_concepts(run.data, seed=run.seed), folder=folder, tell=tell)
            results.append(Result(rows, {"curve": curve}))
        return results

    def finish(self, table: pd.DataFrame, runs: Sequence[Finished[CausalRun]]) -> pd.DataFrame:
        """Put the ceiling beside every score, and state predictions between chance and it."""
        taught = table[table["captions"] == LABELS].set_index(_SAME)["value"]
        found = table.assign(ceiling=taught.reindex(pd.MultiIndex.from_frame(table[_SAME])).to_numpy())
        room = (found["ceiling"] - found["floor"]).clip(lower=0)
        for column in _FORETOLD:
            found[column] = found["floor"] + found[column] * room
        return found

    def claims(self, table: pd.DataFrame) -> list[Claim]:
        """What the table says of what the study was made for."""
        return claims(table)

    def figures(self, table: pd.DataFrame) -> dict[str, Drawing]:
        """Awareness against coverage, and slopes."""
        return figures(table)

    def sections(
        self, table: pd.DataFrame, runs: Sequence[Finished[CausalRun]], pictures: Mapping[str, Markup]
    ) -> list[Section]:
        """Figures, slopes, what is covered and not seen."""
        return [Section("Figures", Markup("").join(pictures.values())), *tables(table)]
