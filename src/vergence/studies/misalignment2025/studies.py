"""The numerical studies by name: which runs, which claims, which figures. All is decided before anything is trained."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd

from vergence.errors import ConfigError
from vergence.studies.misalignment2025 import claims
from vergence.studies.misalignment2025.figures import Panels, draw
from vergence.studies.misalignment2025.predict import beside_the_block, predictions
from vergence.studies.misalignment2025.published import PublishedConfig
from vergence.studies.misalignment2025.spec import (
    HELD_OUT_MENTIONS,
    OBJECTIVES,
    SCALES,
    SPACE,
    VIOLATIONS,
    RunSpec,
    Trial,
)
from vergence.studies.misalignment2025.train import grouped, train_group
from vergence.studies.study import Claim, Drawing, Finished, Result, Row, Study, Tell

_HIDDEN = ("downstream", "milestones", "seed")  # settings that say what is measured; seed comes first


@dataclass(frozen=True, kw_only=True)
class NumericStudy(Study[Trial]):
    """A figure's worth of runs.

    Args:
        name: What the command line calls it.
        description: What it shows, in one line.
        settings_of_seed: Makes the settings of one seed, every so many-th of the sweep.
        claimed: Reads the claims off the table.
        drawn: What its figure shows.
    """

    name: str
    description: str
    settings_of_seed: Callable[[int, int], list[RunSpec]]  # seed, stride
    claimed: Callable[[pd.DataFrame], list[Claim]]
    drawn: Panels

    family = "misalignment2025"
    scales = tuple(SCALES)
    details = ("role", "domain", "outputs", "share")
    margin = 0.05  # as of a mean in claims.py

    def seeds(self, scale: str) -> int:
        """Trials of each setting."""
        return SCALES[scale].seeds

    def job(self, scale: str) -> Mapping[str, Any]:
        """Study, scale and how it trains. The stride is no part of it: it chooses among runs."""
        settings = {key: value for key, value in asdict(SCALES[scale]).items() if key not in {"seeds", "stride"}}
        return {"job": "study", "study": self.name, "scale": scale, "settings": settings}

    def runs(self, scale: str, seeds: int) -> list[Trial]:
        """Every run, seed by seed."""
        sized = SCALES[scale]
        specs = [spec for seed in range(seeds) for spec in self.settings_of_seed(seed, sized.stride)]
        published = isinstance(sized.training, PublishedConfig)
        if published and any(spec.objective != "l2_info_nce" for spec in specs):
            raise ConfigError(f"{self.name} compares objectives; the published protocol has one. Use --scale cpu")
        return [Trial(run=spec, training=sized.training, n_probe=sized.n_probe) for spec in specs]

    def key(self, spec: Trial) -> Mapping[str, Any]:
        """The run, how it is trained, and how it is probed."""
        return asdict(spec)

    def label(self, spec: Trial) -> str:
        """What differs from the default."""
        return spec.run.name

    def settings(self, spec: Trial) -> Row:
        """Those of the run, with the output size and the size of the block spelt out."""
        run = spec.run
        said = {key: value for key, value in asdict(run).items() if key not in _HIDDEN}
        return {"seed": run.seed, **said, "output_size": run.n_outputs, "n_unbiased": len(run.misalignment.unbiased)}

    def predict(self, spec: Trial) -> list[Row]:
        """Bounds for every variable and side."""
        return predictions(spec.run)

    def groups(self, specs: Sequence[Trial]) -> list[list[Trial]]:
        """Stacks of runs that are trained at once."""
        return grouped(specs)

    def measure(self, group: Sequence[Trial], *, folders: Sequence[Path], tell: Tell) -> list[Result]:
        """Train a stack and probe each run; it leaves no files, for a stack takes a minute or two."""
        return [Result(rows) for rows in train_group(group, tell)]

    def finish(self, table: pd.DataFrame, runs: Sequence[Finished[Trial]]) -> pd.DataFrame:
        """Predict labels by what the true block gives."""
        return beside_the_block(table)

    def claims(self, table: pd.DataFrame) -> list[Claim]:
        """What the table says of what the study was made for."""
        return self.claimed(table)

    def figures(self, table: pd.DataFrame) -> dict[str, Drawing]:
        """One figure, named as the study."""
        return {self.name: draw(table, self.drawn)}


_MILESTONES = 9  # every tenth of the training


def _selection(seed: int, stride: int) -> list[RunSpec]:
    return [
        RunSpec(seed=seed, selected=k, dependent=dependent, downstream=True)
        for dependent in (False, True)
        for k in range(1, 11, stride)
    ]


def _perturbation(seed: int, stride: int) -> list[RunSpec]:
    return [
        RunSpec(seed=seed, perturbed=k, dependent=dependent, downstream=True)
        for dependent in (False, True)
        for k in range(0, 10, stride)
    ]


def _shift(seed: int, stride: int) -> list[RunSpec]:
    return [spec for spec in _selection(seed, stride) if not spec.dependent]


def _regression(seed: int, stride: int) -> list[RunSpec]:
    specs = _selection(seed, stride) + _perturbation(seed, stride)
    return list(dict.fromkeys(specs))  # everything selected and nothing perturbed is in both


def _encoding_size(seed: int, stride: int) -> list[RunSpec]:
    sizes, probabilities = (2, 5, 6, 8, 10, 15, 20)[::stride], (0.5, 0.75, 0.95)[::stride]
    return [
        RunSpec(seed=seed, perturbed=5, output_size=size, perturbation_probability=p)
        for p, size in product(probabilities, sorted({5, *sizes}))
    ]


def _graded(seed: int, stride: int) -> list[RunSpec]:
    mentions, mismatches, sizes = (
        (1.0, 0.5, 0.2, 0.05, 0.02, 0.005)[::stride],
        (0.0, 0.2)[::stride],
        (5, 10, 20)[::stride],
    )
    grid = [*product(sizes, mismatches, mentions), *product(sizes, (0.1,), HELD_OUT_MENTIONS[::stride])]
    return [RunSpec(seed=seed, mention=q, mismatch=r, output_size=size) for size, r, q in grid]


def _objectives(seed: int, stride: int) -> list[RunSpec]:
    compared = [(objective, 5) for objective in OBJECTIVES] + [("l2_info_nce", 2), ("l2_info_nce", 8)]
    return [
        RunSpec(
            seed=seed,
            perturbed=perturbed,
            objective=objective,
            output_size=size,
            bottleneck=weight,
            milestones=_MILESTONES,
        )
        for objective, perturbed in compared[::stride]
        for size in (len(SPACE) - perturbed, len(SPACE))[::stride]
        for weight in (0.0, 0.1, 1.0)[::stride]
    ]


def _assumptions(seed: int, stride: int) -> list[RunSpec]:
    return [
        RunSpec(seed=seed, selected=selected, perturbed=perturbed, violation=violation)
        for violation in VIOLATIONS
        for selected, perturbed in ((5, 0), (10, 5))[::stride]
    ]


_BY_DEPENDENCE = {False: "Independent factors", True: "Dependent factors"}
_SELECTED = "factors that the text mentions, of 10"


def _study(name: str, description: str, **parts: Any) -> tuple[str, NumericStudy]:
    return name, NumericStudy(name=name, description=description, **parts)


STUDIES: Mapping[str, NumericStudy] = MappingProxyType(
    dict(
        [
            _study(
                "numeric-selection",
                "recovery of every variable while the text mentions 1 to 10 factors",
                settings_of_seed=_selection,
                claimed=claims.reaches_the_oracle,
                drawn=Panels(over="selected", label=_SELECTED, column="dependent", titles=_BY_DEPENDENCE),
            ),
            _study(
                "numeric-perturbation",
                "recovery of every variable while 0 to 9 factors are perturbed",
                settings_of_seed=_perturbation,
                claimed=claims.reaches_the_oracle,
                drawn=Panels(
                    over="perturbed",
                    label="factors that the text may get wrong, of 10",
                    column="dependent",
                    titles=_BY_DEPENDENCE,
                ),
            ),
            _study(
                "numeric-regression",
                "labels y1 to y4 from representations over both sweeps",
                settings_of_seed=_regression,
                claimed=claims.rises_with_the_block,
                drawn=Panels(
                    over="n_unbiased",
                    label="unbiased factors, of 10",
                    column="dependent",
                    titles=_BY_DEPENDENCE,
                    rows="labels",
                ),
            ),
            _study(
                "numeric-shift",
                "a classifier in and out of domain, where two factors have heavy tails",
                settings_of_seed=_shift,
                claimed=claims.omitting_what_shifts_helps,
                drawn=Panels(
                    over="selected",
                    label=_SELECTED,
                    column="domain",
                    titles={"in": "In domain", "out": "Out of domain: two factors with heavy tails"},
                    rows="classes",
                ),
            ),
            _study(
                "numeric-encoding-size",
                "what comes back when outputs outnumber the unbiased block",
                settings_of_seed=_encoding_size,
                claimed=claims.comes_back_above_the_block,
                drawn=Panels(
                    over="output_size",
                    label="outputs",
                    column="perturbation_probability",
                    titles={p: f"Wrong in {100 * p:.0f} % of pairs" for p in (0.5, 0.75, 0.95)},
                ),
            ),
            _study(
                "numeric-graded",
                "recovery against how often texts mention a factor, mismatched pairs and output size",
                settings_of_seed=_graded,
                claimed=claims.follows_a_curve,
                drawn=Panels(
                    over="mention",
                    label="probability of a mention (log scale)",
                    column="output_size",
                    titles={n: f"{n} outputs" for n in (5, 10, 20)},
                    scale="log",
                    where=("mismatch", 0.0),
                ),
            ),
            _study(
                "numeric-objectives",
                "all objectives on the same pairs; how output size, bottleneck and perturbation interact",
                settings_of_seed=_objectives,
                claimed=claims.reaches_it_how_fast,
                drawn=Panels(
                    over="objective",
                    label="objective, 5 of 10 factors perturbed",
                    column="output_size",
                    titles={5: "5 outputs, the size of the block", 10: "10 outputs"},
                    scale="names",
                    where=("bottleneck", 0.0),
                ),
            ),
            _study(
                "numeric-assumptions",
                "what breaks when an assumption of the theorem does",
                settings_of_seed=_assumptions,
                claimed=claims.breaks_where_it_has_to,
                drawn=Panels(
                    over="violation",
                    label="violated assumption",
                    column="perturbed",
                    titles={0: "5 of 10 factors omitted", 5: "5 of 10 factors perturbed"},
                    scale="names",
                ),
            ),
        ]
    )
)
