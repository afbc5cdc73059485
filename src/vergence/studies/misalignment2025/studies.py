"""The studies by name: which runs, what verdict, which figure. Each is decided before anything is trained."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from types import MappingProxyType

import pandas as pd
from matplotlib.figure import Figure

from vergence.errors import ConfigError, unknown
from vergence.plots.sweep import scores_over_sweep
from vergence.studies.misalignment2025 import verdicts
from vergence.studies.misalignment2025.spec import HELD_OUT_MENTIONS, OBJECTIVES, SPACE, VIOLATIONS, RunSpec, Scale
from vergence.studies.misalignment2025.verdicts import Claim


@dataclass(frozen=True, kw_only=True)
class Study:
    """A figure's worth of runs.

    Args:
        description: What it shows, in one line.
        settings: Makes the settings of one seed.
        verdict: Reads the claims off the table.
        figure: Draws the table.
    """

    description: str
    settings: Callable[[int, int], list[RunSpec]]  # seed, stride
    verdict: Callable[[pd.DataFrame], list[Claim]]
    figure: Callable[[pd.DataFrame], Figure]

    def runs(self, scale: Scale, seeds: int) -> list[RunSpec]:
        """Every run, seed by seed."""
        return [spec for seed in range(seeds) for spec in self.settings(seed, scale.stride)]


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


def _image_scores(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["side"] == "image") & (table["role"] != "label") & (table["share"] == 1)]


def _sweep(table: pd.DataFrame, *, over: str, label: str, panels: str | None) -> Figure:
    return scores_over_sweep(_named(_image_scores(table)), over=over, label=label, panels=panels)


def _labels(table: pd.DataFrame, *, over: str, label: str, panels: str) -> Figure:
    rows = table[(table["role"] == "label") & (table["domain"] == "in") & (table["metric"] == "r2")]
    return scores_over_sweep(_named(rows.assign(role=rows["factor"])), over=over, label=label, panels=panels)


def _named(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(semantics=table["dependent"].map({False: "independent", True: "dependent"}))


def _domains(table: pd.DataFrame) -> Figure:
    rows = table[table["factor"] == "y2 class"]
    return scores_over_sweep(rows, over="selected", label="factors that the text mentions", panels="domain")


def _compared(table: pd.DataFrame) -> Figure:
    plain = table[(table["perturbed"] == 5) & (table["bottleneck"] == 0)]
    return _sweep(plain, over="objective", label="objective, 5 of 10 factors perturbed", panels="output_size")


def _described(table: pd.DataFrame, *, columns: tuple[str, ...]) -> list[Claim]:
    return verdicts.mean_by(table, *columns)


def study_of(name: str) -> Study:
    """Look a study up.

    Raises:
        ConfigError: If there is none of that name, naming those that there are.
    """
    if name not in STUDIES:
        raise ConfigError(unknown("study", name, STUDIES))
    return STUDIES[name]


_BY_DEPENDENCE = "semantics"
STUDIES: Mapping[str, Study] = MappingProxyType(
    {
        "numeric-selection": Study(
            description="recovery of every variable while the text mentions 1 to 10 factors",
            settings=_selection,
            verdict=verdicts.reaches_the_oracle,
            figure=partial(_sweep, over="selected", label="factors that the text mentions", panels=_BY_DEPENDENCE),
        ),
        "numeric-perturbation": Study(
            description="recovery of every variable while 0 to 9 factors are perturbed",
            settings=_perturbation,
            verdict=verdicts.reaches_the_oracle,
            figure=partial(_sweep, over="perturbed", label="factors that the text perturbs", panels=_BY_DEPENDENCE),
        ),
        "numeric-regression": Study(
            description="labels y1 to y4 from representations over both sweeps",
            settings=_regression,
            verdict=verdicts.rises_with_the_block,
            figure=partial(_labels, over="n_unbiased", label="unbiased factors", panels=_BY_DEPENDENCE),
        ),
        "numeric-shift": Study(
            description="a classifier in and out of domain, where two factors have heavy tails",
            settings=_shift,
            verdict=verdicts.omitting_what_shifts_helps,
            figure=_domains,
        ),
        "numeric-encoding-size": Study(
            description="what comes back when outputs outnumber the unbiased block",
            settings=_encoding_size,
            verdict=verdicts.comes_back_above_the_block,
            figure=partial(_sweep, over="output_size", label="outputs", panels="perturbation_probability"),
        ),
        "numeric-graded": Study(
            description="recovery against how often texts mention a factor, mismatched pairs and output size",
            settings=_graded,
            verdict=verdicts.follows_a_curve,
            figure=partial(_sweep, over="mention", label="probability of a mention", panels="output_size"),
        ),
        "numeric-objectives": Study(
            description="all objectives on the same pairs; how output size, bottleneck and perturbation interact",
            settings=_objectives,
            verdict=verdicts.reaches_it_how_fast,
            figure=_compared,
        ),
        "numeric-assumptions": Study(
            description="what breaks when an assumption of the theorem does",
            settings=_assumptions,
            verdict=partial(_described, columns=("violation", "selected", "perturbed")),
            figure=partial(_sweep, over="violation", label="violated assumption", panels="perturbed"),
        ),
    }
)
