"""From results before and after to a table, a page and a verdict, in one folder."""

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

import vergence
from vergence.checks import non_negative
from vergence.data.rows import Columns
from vergence.errors import ConfigError, CorpusError, first_line
from vergence.files import whole
from vergence.folders import JobFolder, WhenPresent
from vergence.probes.comparison import LEVEL, Compared, fallen, judged, records, seeds_rows, sure
from vergence.reports.comparison.audits import compare_audits
from vergence.reports.comparison.embedded import Labelling, compare_embeddings
from vergence.reports.comparison.kinds import Kind, kind_of, one_kind, seeds_in
from vergence.reports.comparison.page import Comparison, finding, page
from vergence.reports.comparison.seen import compare_awareness
from vergence.reports.comparison.tables import compare_alignment, compare_probes, compare_studies
from vergence.reports.comparison.untrained import first_run, save_untrained, trained_on
from vergence.training.embed import embed_source
from vergence.training.models import Dtype

TABLE, RESULT, PAGE = "compare.parquet", "compare.json", "page.html"


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How results are compared.

    Args:
        labelling: Labels of embedded images, and how to probe them.
        data: A source to embed by models; needed for them alone.
        columns: Which columns of it say what.
        fail_if_worse: By how much a score may be worse.
        seed: Of splits and resamples.
        batch_size: Images at once.
        workers: Threads that decode.
        device: "cpu", or "auto" for a GPU where there is one.
        dtype: What models compute in.
        download: Whether models may be fetched.
        present: What to do if the folder is not empty.
    """

    labelling: Labelling = field(default_factory=Labelling)
    data: str | None = None
    columns: Columns = field(default_factory=Columns)
    fail_if_worse: float | None = None
    seed: int = 0
    batch_size: int = 128
    workers: int = 1
    device: str = "cpu"
    dtype: Dtype = "float32"
    download: bool = False
    present: WhenPresent = "refuse"


def run_compare(
    before: str, afters: Sequence[str], *, settings: Settings, out: Path | None = None, command: str = ""
) -> list[Comparison]:
    """Compare results with those of BEFORE, each for itself.

    The folder gets `compare.json`, `compare.parquet` and `page.html`; of models also the embeddings of the data.

    Args:
        before: A folder of results; what it holds is told by what is in it.
        afters: Others of the same kind.
        settings: How.
        out: The folder to write to, if any.
        command: What to say about how it was made.

    Raises:
        ConfigError: If kinds differ, options do not apply to the kind, or nothing can be judged that was to be.
        CorpusError: If results cannot be read, or have nothing in common.
    """
    if settings.fail_if_worse is not None:
        non_negative("--fail-if-worse", settings.fail_if_worse)
    paths = [Path(one) for one in (before, *afters)]
    kind = one_kind(paths[0], paths[1:])
    inner = kind if kind is not Kind.SEEDS else kind_of(next(iter(seeds_in(paths[0]).values())))
    _check(inner, settings, out)
    job = {
        "job": "compare",
        "of": [str(path.resolve()) for path in paths],
        "seed": settings.seed,
        "data": settings.data,
    }
    folder = None if out is None else JobFolder.claim(out, job, present=settings.present)
    compare = _comparing(inner, settings, folder)
    done = []
    for path in paths[1:]:
        found = _seeds(paths[0], path, compare) if kind is Kind.SEEDS else compare(paths[0], path)
        table = judged(found.rows)
        limit = settings.fail_if_worse
        if limit is not None and not (table["judged"] & table["p"].notna()).any():
            raise ConfigError(
                f"--fail-if-worse cannot judge {path}: no score has an interval; compare folders of embeddings instead"
            )
        down = table.iloc[:0] if limit is None else fallen(table, limit)
        done.append(Comparison(str(path), table, found.shared, found.notes, finding(table, str(path)), down))
    if folder is not None:
        about = {"command": command, "before": before, "kind": str(inner), "seed": settings.seed}
        _write(folder, done, about, limit=settings.fail_if_worse)
    return done


def _check(kind: Kind, settings: Settings, out: Path | None) -> None:
    """Refuse options that do nothing for a kind, and models without data."""
    labelling = settings.labelling
    if kind is Kind.MODEL:
        if settings.data is None:
            raise ConfigError(
                "models are compared on data: pass --data SOURCE, and --labels FILE for scores of factors; or name the "
                "--out folders of vergence embed or awareness"
            )
        if out is None:
            raise ConfigError("models are embedded first: pass --out DIR, the folder for that and the results")
    elif settings.data is not None:
        raise ConfigError(f"--data is for models; these are {kind}")
    if kind not in (Kind.MODEL, Kind.EMBEDDINGS) and labelling != Labelling():
        raise ConfigError(f"--labels, --factors, --floor and --ceiling are for embeddings and models; these are {kind}")
    if labelling.labels is None and labelling != Labelling():
        raise ConfigError("--factors, --cluster-column, --test-fraction, --floor and --ceiling need --labels FILE")
    if not 0 < labelling.test_fraction < 1:
        raise ConfigError(f"--test-fraction must be a share above 0 and below 1; got {labelling.test_fraction!r}")


def _comparing(kind: Kind, settings: Settings, folder: JobFolder | None) -> Callable[[Path, Path], Compared]:
    """What compares two paths of a kind."""
    seed, labelling = settings.seed, settings.labelling
    if kind is Kind.AWARENESS:
        return partial(_as_written, partial(compare_awareness, seed=seed))
    if kind is Kind.EMBEDDINGS:
        return lambda one, other: compare_embeddings(one, other, labelling=labelling, seed=seed)
    if kind is Kind.MODEL:
        assert folder is not None
        held = _Embedding(folder, settings)
        return held.compare
    tables = {
        Kind.AUDIT: compare_audits,
        Kind.PROBE: compare_probes,
        Kind.ALIGNMENT: compare_alignment,
        Kind.STUDY: compare_studies,
    }
    return partial(_as_written, tables[kind])


def _as_written(compare: Callable[[Path, Path], Compared], before: Path, after: Path) -> Compared:
    """Say in one line that a file lacks what vergence writes."""
    try:
        return compare(before, after)
    except (KeyError, TypeError, AttributeError) as error:
        raise CorpusError(
            f"{before} or {after} is not as vergence writes it ({type(error).__name__}: {first_line(error)}); make it "
            "again with this version"
        ) from error


class _Embedding:
    """Embeds a source by each model once."""

    def __init__(self, folder: JobFolder, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        self.made: dict[Path, Path] = {}

    def compare(self, before: Path, after: Path) -> Compared:
        """Compare two models on what neither was trained on, by this source's keys."""
        labelling = self.settings.labelling
        sides = [self._embedded(path, path) for path in (before, after)]
        if labelling.labels is not None and labelling.floor is None and (first := first_run(before)) is not None:
            name, start = first / "untrained", self.folder.path / "untrained" / str(len(self.made))
            if name not in self.made:
                save_untrained(first, start)
            labelling = replace(labelling, floor=self._embedded(name, start))
        without = trained_on(before) | trained_on(after)
        return compare_embeddings(*sides, labelling=labelling, seed=self.settings.seed, without=without)

    def _embedded(self, name: Path, model: Path) -> Path:
        use = self.settings
        if name not in self.made:
            assert use.data is not None
            out = self.folder.path / "embeddings" / str(len(self.made))
            embed_source(
                use.data, model, out=out, columns=use.columns, batch_size=use.batch_size, workers=use.workers,
                device=use.device, dtype=use.dtype, download=use.download, present=use.present,
            )  # fmt: skip
            self.made[name] = out
        return self.made[name]


def _seeds(before: Path, after: Path, compare: Callable[[Path, Path], Compared]) -> Compared:
    """The mean over folders of one name in both."""
    one, other = seeds_in(before), seeds_in(after)
    both = [name for name in one if name in other]
    if len(both) < 2:
        raise CorpusError(
            f"{before} and {after} have {len(both)} folders of one name, and seeds pair by name; two are needed"
        )
    found = [compare(one[name], other[name]) for name in both]
    notes = dict.fromkeys(f"{note} ({name})" for name, part in zip(both, found, strict=True) for note in part.notes)
    shared = {"seeds": (len(both), len(one) - len(both), len(other) - len(both)), **found[0].shared}
    said = f"{len(both)} seeds pair by name: intervals are for further seeds, on the same items"
    return Compared(seeds_rows([part.rows for part in found]), shared=shared, notes=(said, *notes))


def _write(folder: JobFolder, done: Sequence[Comparison], about: dict[str, Any], *, limit: float | None) -> None:
    content = {
        **about,
        "level": LEVEL,
        "fail_if_worse": limit,
        "failed": any(len(one.fallen) for one in done),
        "comparisons": [_record(one) for one in done],
        "versions": {"vergence": vergence.__version__, "python": platform.python_version()},
    }
    folder.write_json(RESULT, content)
    with whole(folder.path / TABLE, of_job=True) as unfinished:
        pd.concat([one.table.assign(compared=one.after) for one in done], ignore_index=True).to_parquet(unfinished)
    folder.write_text(PAGE, page(str(about["before"]), done, limit=limit, about=about))


def _record(one: Comparison) -> dict[str, Any]:
    counts = {name: int(count) for name, count in one.table["verdict"].value_counts().items()}
    return {
        "after": one.after,
        "finding": one.finding,
        "scores_compared": len(one.table),
        "verdicts": counts,
        "beyond_chance": {"better": len(sure(one.table, "better")), "worse": len(sure(one.table, "worse"))},
        "shared": {
            what: dict(zip(("both", "only_before", "only_after"), counted, strict=True))
            for what, counted in one.shared.items()
        },
        "notes": list(one.notes),
        "fallen": records(one.fallen),
        "scores": records(one.table),
    }
