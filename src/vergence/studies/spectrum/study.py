"""The study `spectrum-numeric`: predicted and measured for every direction, slice by slice around one base setting."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pandas as pd
from torch import Tensor

from vergence.errors import ConfigError
from vergence.random import named
from vergence.studies.misalignment2025.batched import BatchedConfig
from vergence.studies.spectrum.claims import claims
from vergence.studies.spectrum.deep import train_deep
from vergence.studies.spectrum.figures import figures
from vergence.studies.spectrum.linear import LinearConfig, train_linear
from vergence.studies.spectrum.measure import measured
from vergence.studies.spectrum.predict import predictions, strength_by_factor
from vergence.studies.spectrum.slices import SPECTRA, runs
from vergence.studies.spectrum.spec import RunSpec
from vergence.studies.study import Claim, Drawing, Result, Row, Study, Tell

_SEEDS = 3  # of the slice that has most
_TOGETHER = 10  # runs in a stack


@dataclass(frozen=True, kw_only=True)
class Trial:
    """A run and how it is trained and measured: all that its numbers depend on.

    Args:
        run: What is trained.
        training: How.
        n_measured: Fresh pairs that it is measured on.
    """

    run: RunSpec
    training: LinearConfig | BatchedConfig
    n_measured: int


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How large the study is.

    Args:
        linear: How linear encoders are trained.
        deep: How networks are.
        thorough: How those are that ask what a long training finds.
        n_linear: Pairs that linear encoders are measured on.
        n_deep: Pairs that networks are measured on.
        short: Whether only a few runs of each slice are made.
    """

    linear: LinearConfig
    deep: BatchedConfig
    thorough: BatchedConfig
    n_linear: int = 32_768
    n_deep: int = 4096
    short: bool = False


SCALES: Mapping[str, Scale] = MappingProxyType(
    {
        "smoke": Scale(
            linear=LinearConfig(small_steps=40, steps=10, small_batch=128, drawn_at_once=1024),
            deep=BatchedConfig(steps=30, wide_steps=0, width=32),
            thorough=BatchedConfig(steps=40, wide_steps=0, width=32),
            n_linear=4096,
            n_deep=1024,
            short=True,
        ),
        "cpu": Scale(
            linear=LinearConfig(),
            deep=BatchedConfig(steps=800, wide_steps=0, width=64),
            thorough=BatchedConfig(steps=1200, wide_steps=0),
        ),
    }
)


class SpectrumStudy(Study[Trial]):
    """What channels, output size, bottleneck, temperature, objective, batch and pairs leave of each direction."""

    name = "spectrum-numeric"
    description = "what texts, output size, bottleneck and temperature leave of each direction, predicted and measured"
    family = "spectrum"
    scales = tuple(SCALES)
    details = ("strength",)

    def seeds(self, scale: str) -> int:
        """Trials of the slice that has most; others have fewer."""
        return _SEEDS

    def job(self, scale: str) -> Mapping[str, Any]:
        """Study, scale and how it trains."""
        return {"job": "study", "study": self.name, "scale": scale, "settings": asdict(SCALES[scale])}

    def runs(self, scale: str, seeds: int) -> list[Trial]:
        """Every run of the slices, up to a number of seeds.

        Raises:
            ConfigError: If more seeds are asked for than any slice has.
        """
        if seeds > _SEEDS:
            raise ConfigError(f"{self.name} lists its runs beforehand, with {_SEEDS} seeds at most; got seeds {seeds}")
        sized = SCALES[scale]
        return [self._trial(spec, sized) for spec in runs(short=sized.short) if spec.seed < seeds]

    @staticmethod
    def _trial(spec: RunSpec, sized: Scale) -> Trial:
        if spec.encoders == "linear":
            return Trial(run=spec, training=sized.linear, n_measured=sized.n_linear)
        deep = sized.thorough if spec.question == "mentions" else sized.deep
        return Trial(run=spec, training=replace(deep, batch_size=spec.batch_size), n_measured=sized.n_deep)

    def key(self, spec: Trial) -> Mapping[str, Any]:
        """The run, how it is trained, and on how many pairs it is measured."""
        return asdict(spec)

    def label(self, spec: Trial) -> str:
        """The slice and what differs from the default."""
        return spec.run.name

    def settings(self, spec: Trial) -> Row:
        """Those of the run; of its strengths the name of the spectrum."""
        said = {key: value for key, value in asdict(spec.run).items() if key != "strengths"}
        named_so = {strengths: name for name, strengths in SPECTRA.items()}
        return {**said, "spectrum": named_so.get(spec.run.strengths, "")}

    def predict(self, spec: Trial) -> list[Row]:
        """Rows for every direction."""
        return predictions(spec.run)

    def groups(self, specs: Sequence[Trial]) -> list[list[Trial]]:
        """Networks that differ in their output size alone are stacked; linear encoders are trained alone."""
        stacks: dict[Any, list[Trial]] = {}
        for trial in specs:
            deep = trial.run.encoders == "deep"
            key = replace(trial.run, output_size=1) if deep else trial.run
            stacks.setdefault(key, []).append(trial)
        return [
            stack[start : start + _TOGETHER] for stack in stacks.values() for start in range(0, len(stack), _TOGETHER)
        ]

    def measure(self, group: Sequence[Trial], *, folders: Sequence[Path], tell: Tell) -> list[Result]:
        """Train and measure; no files are left."""
        first = group[0]
        if isinstance(first.training, BatchedConfig):
            encoders = train_deep([trial.run for trial in group], first.training, tell=tell)
            return [
                _result(
                    trial.run,
                    measured(
                        trial.run,
                        lambda side, views, run=run: _standard(encoders.of_run(run, side, views)),
                        n=trial.n_measured,
                        temperature=trial.run.temperature,
                    ),
                )
                for run, trial in enumerate(group)
            ]
        return [self._linear(trial, tell) for trial in group]

    @staticmethod
    def _linear(trial: Trial, tell: Tell) -> Result:
        assert isinstance(trial.training, LinearConfig)
        stream = named(trial.run.seed, trial.run.name, "training")
        encoders = train_linear(trial.run, trial.training, generator=stream, tell=tell)
        rows = measured(
            trial.run,
            encoders,
            n=trial.n_measured,
            temperature=encoders.temperature,
            unconstrained=encoders.unconstrained,
        )
        return _result(trial.run, rows)

    def claims(self, table: pd.DataFrame) -> list[Claim]:
        """What the table says of what the study was made for."""
        return claims(table)

    def figures(self, table: pd.DataFrame) -> dict[str, Drawing]:
        """A figure for each question."""
        return figures(table)


def _result(spec: RunSpec, rows: list[Row]) -> Result:
    strengths = strength_by_factor(spec)
    return Result([{**row, "strength": strengths.get(row["factor"])} for row in rows])


def _standard(z: Tensor) -> Tensor:
    return (z - z.mean(0)) / z.std(0, correction=0).clamp_min(1e-6)
