"""The same question of drawings: gender goes with skin tone in nine of ten, and need not elsewhere.

Women are of the two lighter tones and men of the two darker ones in nine of ten drawings from which encoders and
readers learn. All domains are drawings of concepts that neither has seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from vergence.factors import Factor
from vergence.metrics import Logistic, cluster_bootstrap, matthews_corrcoef
from vergence.probes import Labelled
from vergence.probes.robustness import leakage, robustness
from vergence.random import named
from vergence.studies.guidance.guided import RECIPES, GuidedStudy, unless_quick
from vergence.studies.guidance.lessons import PROBE, Lesson, Recipe, Taught, teach
from vergence.studies.guidance.people import CUE, FACTORS, Captions
from vergence.studies.guidance.robustness import (
    BETA,
    BOTTLENECK,
    DOMAINS,
    FEW,
    KEEP,
    OMIT,
    PERTURB,
    claims_of,
    figures_of,
)
from vergence.studies.guidance.tied import IN, UNTIED, UNTIED_FIT
from vergence.studies.images.measure import LINEAR
from vergence.studies.study import Claim, Drawing, Result, Row, Tell
from vergence.training import TrainConfig

LABEL, SHARE, OUTPUTS, FEWER = "gender", 0.9, 8, 2
"""Fewer outputs: as many as factors are left when captions omit the tone."""

TIED_RECIPES: Mapping[str, Recipe] = {
    "smoke": RECIPES["smoke"],
    "cpu": replace(RECIPES["cpu"], training=TrainConfig(epochs=60, batch_size=64)),
}
"""Twice the epochs: a tie leaves half the drawings."""

_KEPT = Captions(target="{faithful: [skin_tone, gender]}")
_DONE = {
    KEEP: (_KEPT, OUTPUTS, 0.0),
    OMIT: (Captions(target="{invariant-to: [skin_tone]}"), OUTPUTS, 0.0),
    PERTURB: (Captions(target="{perturb: {skin_tone: 0.9}}"), OUTPUTS, 0.0),
    FEW: (_KEPT, FEWER, 0.0),
    BOTTLENECK: (_KEPT, OUTPUTS, BETA),
}


@dataclass(frozen=True)
class TiedPeopleStudy(GuidedStudy):
    """Tie a cue to a label in drawings, and undo the tie outside."""

    name = "guidance-robustness-drawings"
    description = "what omitting or redrawing skin tone in captions buys where it no longer goes with gender"
    family = "guidance-tied-drawings"
    details = ("probe",)

    def seeds(self, scale: str) -> int:
        """Five, for paired intervals."""
        return 1 if scale == "smoke" else 5

    def job(self, scale: str) -> Mapping[str, Any]:
        """Which study, trained how, and what is tied."""
        return {**super().job(scale), "tied": SHARE, "epochs": TIED_RECIPES[scale].training.epochs}

    def runs(self, scale: str, seeds: int) -> list[Lesson]:
        """All that is done about the tone."""
        names = list(_DONE)[: 2 if scale == "smoke" else None]
        found = []
        for seed in range(seeds):
            for name in names:
                captions, size, beta = _DONE[name]
                lesson = Lesson(name=name, captions=captions, encoding_size=size, bottleneck=beta, seed=seed)
                found.append(replace(lesson, tied=SHARE, recipe=TIED_RECIPES[scale]))
        return found

    def settings(self, spec: Lesson) -> Row:
        """What is done beside the rest."""
        return {**super().settings(spec), "done": spec.name}

    def predict(self, spec: Lesson) -> list[Row]:
        """Nothing by the plan, which knows of no tie: what is claimed is stated in the claims."""
        return []

    def measure(self, group: Sequence[Lesson], *, folders: Sequence[Path], tell: Tell) -> list[Result]:
        """Train and read, one after another."""
        return [
            Result(read_tied(teach(spec, folder=folder, tell=tell)))
            for spec, folder in zip(group, folders, strict=True)
        ]

    def finish(self, table: pd.DataFrame, runs: Sequence[Any]) -> pd.DataFrame:
        """Nothing: there is no floor and no ceiling."""
        return table

    def claims(self, table: pd.DataFrame) -> list[Claim]:
        """What omitting and redrawing buy out of domain and cost within, against what leaves captions alone."""
        rows = table if len(table) else table.assign(done=[])
        return unless_quick(claims_of(rows, label=LABEL, cue=CUE.name, others=["subgroup"]), table)

    def figures(self, table: pd.DataFrame) -> dict[str, Drawing]:
        """Accuracy in every domain, by what is done about the tone and how gender is read."""
        caption = (
            "How often gender is told where skin tone goes with it as in training, is independent of it, or never goes "
            "with it. Points are means over seeds, bars the range of the seeds."
        )
        return figures_of(table, caption)


def read_tied(taught: Taught) -> list[Row]:
    """Read gender in and out of domain, and what is left of every factor where nothing is tied."""
    who, z = taught.who, taught.z_image
    halves = {name: who.labelled(z, rows) for name, rows in who.domains.items()}
    label = who.space[LABEL]
    rows: list[Row] = []
    for factor in (*(who.space[name] for name in FACTORS), CUE):
        rows.append({**_base(factor), "probe": LINEAR, "metric": PROBE, **_scored(taught, factor, halves)})
    fit = who.labelled(z, who.train)
    read = robustness(fit, {domain: halves[domain] for domain in DOMAINS}, label=label, cue=CUE)
    for found in read.to_dict("records"):
        for metric in ("accuracy", "worst_group", "equalised_odds"):
            said = f"{metric.replace('_', ' ')}, {found['domain']}"
            rows.append({**_base(label), "probe": found["reader"], "metric": said, "value": found[metric]})
    told = leakage(fit, halves[IN], CUE, given=[label])
    rows.append({**_base(CUE), "probe": LINEAR, "metric": "nats given the label", "value": told.nats_given})
    return rows


def _base(factor: Factor) -> Row:
    return {"side": "image", "factor": factor.name}


def _scored(taught: Taught, factor: Factor, halves: Mapping[str, Labelled]) -> Row:
    """What a linear probe reads where nothing is tied, of unseen concepts."""
    (z_fit, y_fit, _), (z_test, y_test, concepts) = (halves[part].known(factor) for part in (UNTIED_FIT, UNTIED))
    predicted = Logistic().fit(z_fit, y_fit).predict(z_test)
    generator = named(taught.lesson.seed, factor.name, "untied")
    clusters = pd.factorize(concepts)[0]
    low, high = cluster_bootstrap(matthews_corrcoef, y_test, predicted, clusters, generator=generator, n_resamples=200)
    return {"value": float(matthews_corrcoef(y_test, predicted)), "low": low, "high": high}
