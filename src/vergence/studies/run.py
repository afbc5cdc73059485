"""The only runner of studies: predictions first, then what is missing, one long table, verdict, figures and a page."""

import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

import vergence
from vergence.checks import at_least, one_of
from vergence.errors import ConfigError, CorpusError
from vergence.files import read_json, whole
from vergence.folders import JobFolder, WhenPresent
from vergence.plots.style import svg
from vergence.reports.page import build_page, picture
from vergence.studies.pool import run_in_pool, trials
from vergence.studies.progress import StudyProgress
from vergence.studies.store import RunStore, digest_of
from vergence.studies.study import (
    FAILS,
    HOLDS,
    Finished,
    Result,
    Row,
    Spec,
    Study,
    Tell,
)
from vergence.studies.table import assemble
from vergence.theory import Outcome

FORM = 2
"""Of a study's folder; raised when a newer version can no longer continue what an older one has written."""

_VERSIONS = ("torch", "numpy", "scikit-learn")


def run_study(
    study: Study[Spec],
    *,
    scale: str,
    out: Path,
    present: WhenPresent,
    command: str,
    progress: StudyProgress,
    seeds: int | None = None,
    workers: int = 2,
) -> Row:
    """Run a study and write predictions, runs, table, verdict, figures and page into one folder.

    Runs that the folder holds are not repeated, nor are those that another study of the same family has left in a
    folder beside it: they are copied.

    Args:
        study: What to run.
        scale: One of its scales.
        out: Folder for everything.
        present: What to do if it is not empty.
        command: What to type to get the same again.
        progress: Told what happens.
        seeds: Trials of each setting; those of the scale if `None`.
        workers: Processes, each with one thread.

    Returns:
        The verdict as written.

    Raises:
        ConfigError: If the scale is unknown or the folder cannot be used.
        CorpusError: If a run of the folder is damaged.
    """
    started = time.perf_counter()
    one_of("scale", scale, study.scales)
    n_seeds = trials(seeds, study.seeds(scale))
    at_least("workers", workers, 1)
    specs = study.runs(scale, n_seeds)
    folder = claim_folder(out, {**study.job(scale), "form": FORM}, present=present)
    predictions = [study.predict(spec) for spec in specs]
    said = [
        {"run": study.label(spec), **study.settings(spec), "predictions": rows}
        for spec, rows in zip(specs, predictions, strict=True)
    ]
    folder.write_json("predictions.json", strict({"runs": said, **study.announce(specs)}))
    store = RunStore(folder)
    runs = _finished(study, specs, store, progress=progress, workers=workers)
    with whole(folder.path / "table.parquet", of_job=True) as partial_file:
        assemble(study, runs, predictions).to_parquet(partial_file, index=False)
    table = pd.read_parquet(folder.path / "table.parquet")  # what is claimed is claimed of the file
    verdict = {
        **verdict_of(study, table),
        **study.summary(table, runs),
        "command": command,
        "scale": scale,
        "seeds": sorted({int(seed) for seed in table["seed"]}) if "seed" in table else [],
        "versions": _versions(),
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(time.perf_counter() - started, 1),
        "cpu_seconds": round(sum(run.cpu_seconds for run in runs)),
        "runs": len(runs),
        "taken_over": {name: list(store.taken.values()).count(name) for name in sorted(set(store.taken.values()))},
    }
    folder.write_json("verdict.json", strict(verdict))
    drawings = study.figures(table)
    pictures = {}
    for name, drawing in drawings.items():
        wide, narrow = svg(drawing.wide), svg(drawing.narrow)
        folder.write_text(f"figures/{name}.svg", wide)
        pictures[name] = picture(wide, narrow, caption=drawing.caption)
    folder.write_text("page.html", page(study, verdict, table, runs, pictures))
    return verdict


def claim_folder(out: Path, job: Mapping[str, Any], *, present: WhenPresent) -> JobFolder:
    """Claim the folder of a study, refusing one whose form is not ours.

    Raises:
        ConfigError: As `JobFolder.claim` does, and if an earlier version wrote what is in it.
    """
    try:
        found = read_json(out / "job.json")
    except CorpusError:
        found = None
    another = isinstance(found, dict) and found.get("job") == job["job"] and found.get("form") != job["form"]
    if another and present != "overwrite":
        raise ConfigError(
            f"{out} holds results of another form, by an earlier version, and cannot be continued; pass "
            "--overwrite to replace them, or choose another folder with --out"
        )
    return JobFolder.claim(out, job, present=present)


def verdict_of(study: Study[Any], table: pd.DataFrame) -> Row:
    """What a table says of a study's claims, and how many predictions came true."""
    claims = [claim.record() for claim in study.claims(table)]
    counts = {kind: sum(claim["outcome"] == kind for claim in claims) for kind in (HOLDS, FAILS)}
    found = table["outcome"].value_counts()
    return {
        "study": study.name,
        "counts": counts,
        "claims": claims,
        "outcomes": {str(outcome): int(found.get(str(outcome), 0)) for outcome in Outcome},
    }


def page(
    study: Study[Spec],
    verdict: Row,
    table: pd.DataFrame,
    runs: Sequence[Finished[Spec]],
    pictures: Mapping[str, Markup],
) -> str:
    """The page of a study."""
    return build_page(
        kicker=f"vergence · study {study.name} · {verdict['date']}",
        headline=study.headline(verdict),
        lede=study.lede(verdict, table),
        first=study.opening(table, runs),
        claims=verdict["claims"],
        sections=study.sections(table, runs, pictures),
        about={
            "command": verdict["command"],
            "seeds": ", ".join(map(str, verdict["seeds"])) or "none",
            "versions": ", ".join(f"{name} {value}" for name, value in verdict["versions"].items()),
            "time": f"{verdict['seconds']:,.0f} s; of the processor {verdict['cpu_seconds']:,} s for all runs",
        },
    )


def strict(value: Any) -> Any:
    """The same for strict JSON: what is no finite number becomes null."""
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [strict(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not isfinite(value) else value


@dataclass(frozen=True)
class _Group:
    """Specs that run together, and where each may leave files."""

    specs: Sequence[Any]
    folders: tuple[Path, ...]


def _finished(
    study: Study[Spec], specs: Sequence[Spec], store: RunStore, *, progress: StudyProgress, workers: int
) -> list[Finished[Spec]]:
    """Every run, from the store if it is there; what is missing is run and stored as it finishes."""
    keys = {digest_of(key): key for key in (_key(study, spec) for spec in specs)}
    found = {digest: done for digest, key in keys.items() if (done := store.find(key)) is not None}
    missing = {digest: spec for spec in specs if (digest := digest_of(_key(study, spec))) not in found}
    if store.taken:
        progress.say(f"{len(store.taken)} runs taken over from {', '.join(sorted(set(store.taken.values())))}")
    if found:
        progress.say(f"{len(found)} of {len(keys)} runs are done already")
    progress.start(len(missing))
    work = {}
    for specs_together in study.groups(list(missing.values())) if missing else ():
        folders = tuple(store.path(_key(study, spec)) for spec in specs_together)
        work[_called(study, specs_together)] = _Group(specs_together, folders)
    for name, results in run_in_pool(partial(_measure, study), work, progress=progress, workers=workers):
        progress.ended(name)
        for spec, content in zip(work[name].specs, results, strict=True):
            key = _key(study, spec)
            found[digest_of(key)] = store.put(key, content)
            progress.finished(study.label(spec), _one_line(content["rows"]))
    runs = []
    for spec in specs:
        key = _key(study, spec)
        done = found[digest_of(key)]
        runs.append(Finished(spec, store.path(key), Result(done["rows"], done["extras"]), done["cpu_seconds"]))
    return runs


def _measure(study: Study[Any], group: _Group, tell: Tell) -> list[Row]:
    started = time.process_time()
    results = study.measure(group.specs, folders=group.folders, tell=tell)
    seconds = round((time.process_time() - started) / len(group.specs), 2)
    return [strict({"rows": one.rows, "extras": one.extras, "cpu_seconds": seconds}) for one in results]


def _key(study: Study[Spec], spec: Spec) -> Row:
    """What a run depends on, the code included, as far as versions tell it."""
    by = {"vergence": vergence.__version__, "torch": version("torch"), "protocol": study.protocol}
    key: Row = strict({"family": study.family, "by": by, "spec": study.key(spec)})
    return key


def _called(study: Study[Spec], group: Sequence[Spec]) -> str:
    more = f" and {len(group) - 1} more" if len(group) > 1 else ""
    return f"{study.label(group[0])}{more}"


def _one_line(rows: Sequence[Row]) -> str:
    """Mean score of the image side, by role or factor."""
    frame = pd.DataFrame(rows)
    if "value" not in frame:
        return "done"
    frame = frame[frame["side"] == "image"]
    means = frame.groupby("role" if "role" in frame else "factor", sort=False)["value"].mean()
    return ", ".join(f"{str(name).replace('_', ' ')} {value:.2f}" for name, value in means.items())


def _versions() -> dict[str, str]:
    found = {name: version(name) for name in _VERSIONS}
    return {"vergence": vergence.__version__, "python": platform.python_version(), **found}
