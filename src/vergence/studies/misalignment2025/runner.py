"""Runs a numerical study: trainings in groups, one thread per process, a file per finished run; figures last."""

import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

import vergence
from vergence.checks import at_least, one_of
from vergence.errors import ConfigError, CorpusError
from vergence.files import whole
from vergence.folders import JobFolder, WhenPresent
from vergence.plots.style import svg
from vergence.random import named
from vergence.studies.misalignment2025.batched import train_together
from vergence.studies.misalignment2025.measure import Encoders, measure
from vergence.studies.misalignment2025.objectives import objective_of
from vergence.studies.misalignment2025.published import PublishedConfig, train_published
from vergence.studies.misalignment2025.spec import SCALES, RunSpec, Scale
from vergence.studies.misalignment2025.studies import study_of
from vergence.studies.pool import run_in_pool, trials
from vergence.studies.progress import StudyProgress

Results = dict[str, Any]
_TELL_EVERY = 20  # steps


def run_study(
    name: str,
    *,
    scale: str,
    out: Path,
    present: WhenPresent,
    command: str,
    progress: StudyProgress,
    seeds: int | None = None,
    workers: int = 2,
    reuse: Sequence[Path] = (),
) -> Results:
    """Run a study and write its table, verdict and figure.

    Args:
        name: One of `STUDIES`.
        scale: One of `SCALES`.
        out: Folder for the results; runs that it holds already are not repeated.
        present: What to do if it is not empty.
        command: What to type to get the same again.
        progress: Told what happens.
        seeds: Trials of each setting; those of the scale if `None`.
        workers: Processes, each with one thread.
        reuse: Folders of other studies at the same scale, whose runs are taken over where this study has them too.

    Returns:
        The verdict as written.

    Raises:
        ConfigError: If the study or scale is unknown, or a folder cannot be used.
    """
    started = time.perf_counter()
    one_of("scale", scale, SCALES)
    study, sized = study_of(name), SCALES[scale]
    n_seeds = trials(seeds, sized.seeds)
    at_least("workers", workers, 1)
    specs = study.runs(sized, n_seeds)
    if isinstance(sized.training, PublishedConfig) and any(spec.objective != "l2_info_nce" for spec in specs):
        raise ConfigError(f"{name} compares objectives; the published protocol has one. Use --scale cpu")
    # Seeds are not part of what identifies a job: more of them extend it. Nor is the stride: it chooses among runs.
    settings = {key: value for key, value in asdict(sized).items() if key not in {"seeds", "together", "stride"}}
    job = {"job": "study", "study": name, "scale": scale, "settings": settings}
    finished_elsewhere = [_runs_of(path, job) for path in reuse]
    folder = JobFolder.claim(out, job, present=present)
    for spec, path in product(specs, finished_elsewhere):
        _take_over(spec, path, folder)
    progress.start(len(specs))
    pending = [spec for spec in specs if _found(spec, folder) is None]
    for spec in specs:
        if spec not in pending:
            progress.finished(spec.name, "done before")
    for spec, done in _trained(pending, sized, progress=progress, workers=workers):
        folder.write_result(_file_of(spec), {"spec": asdict(spec), **done})
        progress.finished(spec.name, _one_line(done["rows"]))
    folder.write_text("table.csv", table(specs, folder).to_csv(index=False, float_format="%.5f"))
    frame = pd.read_csv(folder.path / "table.csv")  # what is claimed is claimed of the file
    with whole(folder.path / "table.parquet", of_job=True) as partial:
        frame.to_parquet(partial, index=False)
    verdict = {
        "study": name,
        "command": command,
        "claims": study.verdict(frame),
        "versions": {"vergence": vergence.__version__, "torch": version("torch"), "python": platform.python_version()},
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(sum(_done(spec, folder)["cpu_seconds"] for spec in specs)),
    }
    folder.write_json("verdict.json", verdict)
    folder.write_text("figure.svg", svg(study.figure(frame)))
    return verdict


def table(specs: Sequence[RunSpec], folder: JobFolder) -> pd.DataFrame:
    """Put the finished runs into one tidy table: a row per run, variable and side."""
    parts = []
    for spec in specs:
        settings = asdict(spec) | {"output_size": spec.n_outputs, "n_unbiased": len(spec.misalignment.unbiased)}
        parts += [{"run": spec.name, **settings, **row} for row in _done(spec, folder)["rows"]]
    frame = pd.DataFrame(parts)
    return frame.astype({"oracle": float, "oracle_error": float})  # None where theory is silent


def _runs_of(path: Path, job: Results) -> JobFolder:
    """The folder of another study, if its runs are what ours would be."""
    try:
        found = JobFolder(path).read_json("job.json")
    except CorpusError:
        found = None
    wanted = json.loads(json.dumps({key: value for key, value in job.items() if key != "study"}))
    if not isinstance(found, dict) or {key: value for key, value in found.items() if key != "study"} != wanted:
        raise ConfigError(
            f"{path} holds no runs to reuse: they must be of a numerical study at scale {job['scale']} with the same "
            "settings; leave it out of --reuse"
        )
    return JobFolder(path)


def _take_over(spec: RunSpec, source: JobFolder, folder: JobFolder) -> None:
    """Copy a finished run, unless there is one already or the other was to be measured otherwise."""
    if _found(spec, folder) is None:
        done = _found(spec, source)
        if done is not None and done["spec"] == asdict(spec):
            folder.write_result(_file_of(spec), done)


def _found(spec: RunSpec, folder: JobFolder) -> Results | None:
    return folder.read_result(_file_of(spec))


def _done(spec: RunSpec, folder: JobFolder) -> Results:
    done = _found(spec, folder)
    assert done is not None, spec
    return done


def _file_of(spec: RunSpec) -> str:
    return f"runs/{spec.name}.json"


def run_group(
    specs: Sequence[RunSpec], tell: Callable[[int, int], None] = lambda done, total: None, *, scale: Scale
) -> list[Results]:
    """Train some runs together and measure each.

    Args:
        specs: The runs; what comes out of each does not depend on the others.
        tell: Called with steps done and steps in all.
        scale: How to train and probe.

    Returns:
        Of each run its rows, and its share of the processor's seconds.
    """
    started = time.process_time()
    measured = _measured(specs, scale, tell)
    seconds = round((time.process_time() - started) / len(specs), 2)
    return [{"cpu_seconds": seconds, "rows": rows} for rows in measured]


def _measured(specs: Sequence[RunSpec], scale: Scale, tell: Callable[[int, int], None]) -> list[list[dict[str, Any]]]:
    draws, sizes = [spec.pairs() for spec in specs], [spec.n_outputs for spec in specs]
    generators = [named(spec.seed, spec.pairs_name, "training") for spec in specs]
    config = scale.training
    if isinstance(config, PublishedConfig):
        alone = []
        for spec, draw, size, generator in zip(specs, draws, sizes, generators, strict=True):
            on_the_way = _OnTheWay([spec], scale, config.steps, tell)
            one = train_published(draw, size, config, generator=generator, watch=on_the_way)
            alone.append(on_the_way.rows[0] + measure(spec, one, 0, n=scale.n_probe))
        return alone
    wide = [spec.n_wide for spec in specs]
    on_the_way = _OnTheWay(specs, scale, config.n_wide(sizes, wide) + config.steps, tell)
    encoders = train_together(
        draws,
        sizes,
        config,
        generators=generators,
        loss=objective_of(specs),
        wide=wide,
        watch=on_the_way,
    )
    return [on_the_way.rows[run] + measure(spec, encoders, run, n=scale.n_probe) for run, spec in enumerate(specs)]


class _OnTheWay:
    """Measures runs at their milestones, and says how far they are."""

    def __init__(self, specs: Sequence[RunSpec], scale: Scale, total: int, tell: Callable[[int, int], None]) -> None:
        self.specs, self.scale, self.total, self.tell = specs, scale, total, tell
        self.rows: list[list[dict[str, Any]]] = [[] for _ in specs]

    def __call__(self, step: int, encoders: Encoders) -> bool:
        if step % _TELL_EVERY == 0:
            self.tell(step, self.total)
        for run, spec in enumerate(self.specs):
            parts, total = spec.milestones + 1, self.total
            if step < total and step * parts // total > (step - 1) * parts // total:
                share = round(step / total, 4)
                self.rows[run] += measure(spec, encoders, run, n=self.scale.n_probe // 2, share=share)
        return False


def _trained(
    specs: Sequence[RunSpec], scale: Scale, *, progress: StudyProgress, workers: int
) -> Iterator[tuple[RunSpec, Results]]:
    """Train in worker processes; give each group's runs as they are finished. Those that start wide keep together."""
    kinds = [[spec for spec in specs if (spec.n_wide > spec.n_outputs) == wide] for wide in (True, False)]
    parts = [kind[start : start + scale.together] for kind in kinds for start in range(0, len(kind), scale.together)]
    groups = {f"{part[0].name} and {len(part) - 1} more": part for part in parts}
    for name, done in run_in_pool(partial(run_group, scale=scale), groups, progress=progress, workers=workers):
        progress.ended(name)
        yield from zip(groups[name], done, strict=True)


def _one_line(rows: list[dict[str, Any]]) -> str:
    frame = pd.DataFrame(rows)
    frame = frame[(frame["side"] == "image") & (frame["domain"] == "in") & (frame["share"] == 1)]
    means = frame.groupby("role", sort=False)["value"].mean()
    return json.dumps({role: round(value, 3) for role, value in means.items()})[1:-1].replace('"', "")
