"""Closes the loop: caption, audit, forecast, write that down; then train, probe and compare."""

import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

import vergence
from vergence.checks import at_least, one_of
from vergence.corpus.forecast import LEARNED
from vergence.folders import JobFolder, WhenPresent
from vergence.plots import forecast_beside_measurement, svg
from vergence.probes import encode
from vergence.random import named
from vergence.studies.demo import DemoSpec
from vergence.studies.demo.corpus import caption, load_corpus
from vergence.studies.demo.training import make_encoder, probe_images, train_and_probe
from vergence.studies.forecast.audit import audit_setting
from vergence.studies.forecast.rules import HIT, MEANINGS, MISS, NO_NUMBER, Judgement, judge
from vergence.studies.forecast.spec import REFERENCE, SCALES, SETTINGS, UNTRAINED, Scale
from vergence.studies.pool import Teller, finish_runs
from vergence.studies.progress import StudyProgress

Results = dict[str, Any]
Trial = tuple[int, str]  # seed and setting
_OUTCOMES = (HIT, MISS, NO_NUMBER)


def run_forecast(
    *,
    scale: str,
    out: Path,
    present: WhenPresent,
    command: str,
    progress: StudyProgress,
    seeds: int | None = None,
    workers: int = 2,
) -> Results:
    """Run the study and write forecasts, table, verdict and figure.

    Args:
        scale: One of `SCALES`.
        out: Folder for the results; trainings that it holds already are not repeated.
        present: What to do if it is not empty.
        command: What to type to get the same again.
        progress: Told what happens.
        seeds: Trials of each setting; those of the scale if `None`.
        workers: Processes, each with one thread.

    Returns:
        The verdict as written.

    Raises:
        ConfigError: If the scale is unknown or the folder cannot be used.
    """
    started = time.perf_counter()
    one_of("scale", scale, SCALES)
    sized = SCALES[scale]
    trials = range(sized.seeds if seeds is None else seeds)
    at_least("seeds", len(trials), 1)
    at_least("workers", workers, 1)
    # Seeds are not part of what identifies a job: more of them extend it.
    settings = {key: value for key, value in asdict(sized).items() if key != "seeds"}
    folder = JobFolder.claim(out, {"job": "study", "study": "forecast", "settings": settings}, present=present)
    audits = {(seed, name): audit for seed in trials for name, audit in _audits(sized, seed).items()}
    folder.write_json("forecasts.json", [{"seed": s, "setting": name, **audit} for (s, name), audit in audits.items()])
    progress.say(f"audited and forecast from captions and labels alone: {out / 'forecasts.json'}; training comes now")
    measured = _measured(sized.training, audits, folder, progress=progress, workers=workers)
    folder.write_text("table.csv", compare(audits, measured).to_csv(index=False, float_format="%.5f"))
    frame = pd.read_csv(folder.path / "table.csv")  # what is claimed is claimed of the file
    recovered = [{"seed": s, "setting": name, **row} for (s, name), a in audits.items() for row in a["recovered"]]
    verdict = {
        "study": "forecast",
        "command": command,
        "seeds": list(trials),
        "settings": {name: SETTINGS[name].description for name in sized.settings},
        "meanings": dict(MEANINGS),
        **summary(frame),
        "recovered": recovered,
        "versions": {"vergence": vergence.__version__, "python": platform.python_version()}
        | {name: version(name) for name in ("torch", "numpy", "scikit-learn")},
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(time.perf_counter() - started, 1),
    }
    folder.write_text("figure.svg", svg(forecast_beside_measurement(frame)))
    folder.write_json("verdict.json", verdict)
    return verdict


def compare(audits: Mapping[Trial, Results], measured: Mapping[tuple[int, str, int], Results]) -> pd.DataFrame:
    """Put statements beside measurements.

    Args:
        audits: By seed and setting, what `audit_setting` gives.
        measured: By seed, setting and output size, the record of each factor's probe.

    Returns:
        One row for each statement and size: what was said, what was measured, and what became of it.
    """
    rows = []
    for (seed, setting), audit in audits.items():
        largest = max(audits[seed, REFERENCE]["sizes"])
        for said in audit["statements"]:
            given = said["encoding_size"] is not None
            if not given and said["statement"] not in MEANINGS:
                continue  # without a size there is nothing to say of most factors
            for size in [said["encoding_size"]] if given else audit["sizes"]:
                factors, name = measured[seed, setting, size], said["factor"]
                reference = measured[seed, REFERENCE, largest][name]["value"]
                judged = judge(said["statement"], factors[name], reference=reference, told=said["told"])
                if (setting, size) == (REFERENCE, largest):
                    judged = Judgement()  # it would be compared with itself
                rows.append(
                    {
                        "seed": seed,
                        "setting": setting,
                        "encoding_size": size,
                        "block": audit["block"],
                        "factor": name,
                        "given_size": given,
                        "statement": said["statement"],
                        "reason": said["reason"],
                        **{key: factors[name][key] for key in ("value", "low", "high")},
                        "untrained": measured[seed, UNTRAINED, size][name]["value"],
                        "reference": reference,
                        "told": said["told"],
                        **asdict(judged),
                    }
                )
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> Results:
    """Count hits and misses of a table: overall, by statement, and what a forecast that never warns would have hit."""
    judged = table[table["outcome"] != NO_NUMBER]
    bold = [judge(LEARNED, dict(row), reference=row["reference"]).outcome for _, row in judged.iterrows()]
    counts = {name: _count(part) for name, part in table.groupby("statement", sort=False)}
    misses = judged[judged["outcome"] == MISS].astype(object)
    return {
        "overall": _count(table),
        "by_statement": counts,
        "hits_if_all_were_said_to_be_learned": bold.count(HIT),
        "misses": misses.drop(columns=["reason", "outcome"]).where(misses.notna(), None).to_dict("records"),
    }


@dataclass(frozen=True)
class _Run:
    """One training: everything that a worker process has to know."""

    spec: DemoSpec
    setting: str
    size: int
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        return f"{self.setting.replace(' ', '-')}_{self.size}_seed-{self.seed}"


def _audits(scale: Scale, seed: int) -> dict[str, Results]:
    """Audit and forecast of every setting; nothing has been trained yet."""
    corpus = load_corpus(scale.training, seed=seed)
    written = {name: caption(corpus, SETTINGS[name], seed=seed).captions for name in scale.settings}
    return {name: audit_setting(corpus, texts, SETTINGS[name], scale) for name, texts in written.items()}


def _measured(
    spec: DemoSpec, audits: Mapping[Trial, Results], folder: JobFolder, *, progress: StudyProgress, workers: int
) -> dict[tuple[int, str, int], Results]:
    """Probes of every setting at every size, and of untrained encoders at the same sizes; those that are done stay."""
    wanted = {(seed, setting, size): None for (seed, setting), audit in audits.items() for size in audit["sizes"]}
    wanted |= {(seed, UNTRAINED, size): None for seed, _, size in wanted}
    runs = {key: _Run(spec, setting, size, seed, folder.path) for key in wanted for seed, setting, size in [key]}
    named_runs = {run.name: run for run in runs.values()}
    done = finish_runs(_train, named_runs, folder, progress=progress, outcome=_one_line, workers=workers)
    return {key: done[run.name]["factors"] for key, run in runs.items()}


def _train(run: _Run, tell: Teller) -> Results:
    """Train on one setting at one size and probe; or probe what there is before any training."""
    started = time.perf_counter()
    tell(0, run.spec.training.epochs)
    corpus = load_corpus(run.spec, seed=run.seed)
    captioned = caption(corpus, SETTINGS.get(run.setting, SETTINGS[REFERENCE]), seed=run.seed)
    if run.setting == UNTRAINED:
        encoder = make_encoder(len(captioned.vocabulary), run.size, seed=run.seed, name=run.setting)
        z_image = encode(encoder, captioned.views).normalized().z_image
        factors = probe_images(corpus, z_image, generator=named(run.seed, run.name, "intervals"))
        return {"factors": factors, "losses": {}, "seconds": round(time.perf_counter() - started, 1)}
    trained = train_and_probe(
        run.spec, corpus, captioned,
        name=run.setting, size=run.size, seed=run.seed,
        folder=run.folder / "runs" / run.name, tell=tell,
    )  # fmt: skip
    seconds = round(time.perf_counter() - started, 1)
    return {"factors": trained.factors, "losses": trained.losses, "seconds": seconds}


def _count(table: pd.DataFrame) -> dict[str, int]:
    found = table["outcome"].value_counts()
    return {outcome: int(found.get(outcome, 0)) for outcome in _OUTCOMES}


def _one_line(run: Results) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {record['value']:.2f}" for name, record in run["factors"].items())
