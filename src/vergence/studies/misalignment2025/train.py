"""Trains the runs of the numerical study in groups, and measures each at its milestones and at its end."""

from collections.abc import Callable, Sequence

from vergence.random import named
from vergence.studies.misalignment2025.batched import train_together
from vergence.studies.misalignment2025.measure import Encoders, Row, measure
from vergence.studies.misalignment2025.objectives import objective_of
from vergence.studies.misalignment2025.published import PublishedConfig, train_published
from vergence.studies.misalignment2025.spec import RunSpec, Trial

_TELL_EVERY = 20  # steps
_TOGETHER = 5  # runs in a stack


def grouped(trials: Sequence[Trial]) -> list[list[Trial]]:
    """What is trained together: those that start wide, and those that do not; by the published protocol, each alone."""
    alone = [[trial] for trial in trials if isinstance(trial.training, PublishedConfig)]
    rest = [trial for trial in trials if not isinstance(trial.training, PublishedConfig)]
    kinds = [[trial for trial in rest if (trial.run.n_wide > trial.run.n_outputs) == wide] for wide in (True, False)]
    return alone + [kind[start : start + _TOGETHER] for kind in kinds for start in range(0, len(kind), _TOGETHER)]


def train_group(
    trials: Sequence[Trial], tell: Callable[[int, int], None] = lambda done, total: None
) -> list[list[Row]]:
    """Train some runs together and measure each.

    Args:
        trials: The runs, trained and probed alike; what comes out of each does not depend on the others.
        tell: Called with steps done and steps in all.

    Returns:
        Rows of each run.
    """
    specs, config, n_probe = [trial.run for trial in trials], trials[0].training, trials[0].n_probe
    draws, sizes = [spec.pairs() for spec in specs], [spec.n_outputs for spec in specs]
    generators = [named(spec.seed, spec.pairs_name, "training") for spec in specs]
    if isinstance(config, PublishedConfig):
        alone = []
        for spec, draw, size, generator in zip(specs, draws, sizes, generators, strict=True):
            on_the_way = _OnTheWay([spec], n_probe, config.steps, tell)
            one = train_published(draw, size, config, generator=generator, watch=on_the_way)
            alone.append(on_the_way.rows[0] + measure(spec, one, 0, n=n_probe))
        return alone
    wide = [spec.n_wide for spec in specs]
    on_the_way = _OnTheWay(specs, n_probe, config.n_wide(sizes, wide) + config.steps, tell)
    encoders = train_together(
        draws,
        sizes,
        config,
        generators=generators,
        loss=objective_of(specs),
        wide=wide,
        watch=on_the_way,
    )
    return [on_the_way.rows[run] + measure(spec, encoders, run, n=n_probe) for run, spec in enumerate(specs)]


class _OnTheWay:
    """Measures runs at their milestones, and says how far they are."""

    def __init__(self, specs: Sequence[RunSpec], n_probe: int, total: int, tell: Callable[[int, int], None]) -> None:
        self.specs, self.n_probe, self.total, self.tell = specs, n_probe, total, tell
        self.rows: list[list[Row]] = [[] for _ in specs]

    def __call__(self, step: int, encoders: Encoders) -> bool:
        if step % _TELL_EVERY == 0:
            self.tell(step, self.total)
        for run, spec in enumerate(self.specs):
            parts, total = spec.milestones + 1, self.total
            if step < total and step * parts // total > (step - 1) * parts // total:
                share = round(step / total, 4)
                self.rows[run] += measure(spec, encoders, run, n=self.n_probe // 2, share=share)
        return False
