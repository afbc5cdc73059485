"""From images with concepts and models to scores, tables and a page, in one folder that a killed job goes on in."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
from markupsafe import Markup

from vergence.corpus import Lexicon
from vergence.data.concepts import concepts_shown, read_concepts
from vergence.data.rows import Columns
from vergence.data.source import Source
from vergence.files import whole
from vergence.folders import JobFolder, WhenPresent
from vergence.metrics.scale import unit
from vergence.metrics.trends import Trend, trend
from vergence.plots.awareness import coverage_against_awareness
from vergence.plots.style import svg
from vergence.probes.awareness import BARE, AwarenessTable, awareness, check_templates, embed_concepts
from vergence.reports import awareness as written
from vergence.reports.page import Section, data_uri, picture, prose
from vergence.training.embed_images import UNREADABLE, embedded_images, read_images
from vergence.training.models import Dtype, ImageTextModel, load_model, weights_digest

ANSWERS = "answers.parquet"
"""Of each image what it shows and is told to show, which `vergence compare` pairs."""
_THUMBNAIL = 72


@dataclass(frozen=True)
class AwarenessRun:
    """What came out.

    Args:
        bare: By the name of each model, scores with the names of concepts alone.
        templated: The same with templates; empty if none were given.
        left_out: By reason, of how many rows there is no score.
        trends: By name, rank correlations of coverage and awareness of the first model; empty without an audit.
    """

    bare: dict[str, AwarenessTable]
    templated: dict[str, AwarenessTable]
    left_out: dict[str, int]
    trends: dict[str, Trend]


def run_awareness(
    images: str | Path,
    models: Sequence[str],
    *,
    lexicon: Lexicon,
    out: Path,
    templates: Sequence[str] = (),
    audit: Path | None = None,
    columns: Columns = Columns(caption="concept"),  # noqa: B008 - frozen
    batch_size: int = 128,
    workers: int = 1,
    device: str = "cpu",
    dtype: Dtype = "float32",
    download: bool = False,
    seed: int = 0,
    command: str = "",
    present: WhenPresent = "refuse",
) -> AwarenessRun:
    """Score what models see of concepts.

    The folder gets `awareness.json` and `awareness.parquet`, `answers.parquet`, `clip_benchmark.json`, `page.html`, and
    the embeddings of each model, which are not made again.

    Args:
        images: What `read_concepts` takes.
        models: Folders that `load_model` takes; the first is the one that the page is about.
        lexicon: Whose groups and concepts are asked for.
        out: The folder to write to.
        templates: Sentences with one `{}`, for scores beside those of bare names.
        audit: The folder of an audit of captions by the same lexicon.
        columns: Which columns of a source say what.
        batch_size: Images at once.
        workers: Threads that decode.
        device: "cpu", or "auto" for a GPU where there is one.
        dtype: What models compute in.
        download: Whether models may be fetched.
        seed: Of the intervals.
        command: What to say about how it was made.
        present: What to do if the folder is not empty.

    Raises:
        CorpusError: If images, models or the audit cannot be read.
        ConfigError: If no image shows a concept of the lexicon, or a template has no place for a name.
    """
    if templates:
        check_templates(templates)
    groups = {group.name: [concept.name for concept in group.concepts] for group in lexicon.groups}
    labelled = _read(images, columns, groups)
    loaded = {_name(path, models): load_model(path, device=device, dtype=dtype, download=download) for path in models}
    files = {name: f"images-{weights_digest(model)}.parquet" for name, model in loaded.items()}
    folder = JobFolder.claim(
        out, {"job": "awareness", "models": list(files.values()), "rows": labelled.digest}, present=present
    )
    bare, templated, answers = {}, {}, []
    for name, model in loaded.items():
        z, keys = embedded_images(
            folder, files[name], model, labelled.source, labelled.first, batch_size=batch_size, workers=workers
        )
        labels = [labelled.shown[key] for key in keys]
        clusters = labelled.clusters(keys)
        score = partial(awareness, z, labels, groups, model.embed_texts, clusters=clusters, seed=seed)
        bare[name] = score(templates=BARE)
        answers.append(_answers(bare[name], name, "bare", keys, clusters))
        if templates:
            templated[name] = score(templates=templates)
            answers.append(_answers(templated[name], name, "templates", keys, clusters))
    main, *_ = loaded
    concepts = bare[main].concepts if audit is None else written.with_coverage(bare[main].concepts, audit)
    trends = {} if audit is None else _trends(concepts, seed)
    left_out = labelled.left_out(folder.read_json(UNREADABLE) or {})
    done = AwarenessRun(bare, templated, left_out, trends)
    about = {"command": command, "lexicon": lexicon.name, "seed": seed, "templates": list(templates)}
    _write_tables(folder, done, concepts, about=about, dataset=str(images))
    _write_table(folder, ANSWERS, pd.concat(answers, ignore_index=True))
    folder.write_text(
        "page.html",
        written.page(
            bare,
            examples=_examples(bare[main], folder.path / files[main], loaded[main], groups=groups, labelled=labelled),
            about={"Command": command, "Models": ", ".join(loaded), "Lexicon": lexicon.name, "Seed": seed},
            notes=[f"Left out: {count:,} rows: {reason}." for reason, count in left_out.items()],
            pictures=[] if audit is None else [_coverage_section(concepts, trends)],
        ),
    )
    return done


@dataclass(frozen=True, eq=False)
class _Labelled:
    """Images by key, with the concepts that they show, and names that are no concepts of the lexicon."""

    source: Source
    shown: Mapping[str, set[tuple[str, str]]]
    strange: Mapping[str, int]
    first: Mapping[str, int]  # the row of each image

    @property
    def digest(self) -> str:
        rows = sorted((key, sorted(labels)) for key, labels in self.shown.items())
        return hashlib.sha256(repr(rows).encode()).hexdigest()[:16]

    def clusters(self, keys: Sequence[str]) -> np.ndarray:
        """Which images belong together: as their cluster column says, else each is its own."""
        rows = [self.first[key] for key in keys]
        named = self.source.clusters(rows)
        own = [f"row {row}" if one is None else f"cluster {one}" for row, one in zip(rows, named, strict=True)]
        return pd.factorize(np.array(own, dtype=object))[0]

    def left_out(self, wrong: Mapping[str, str]) -> dict[str, int]:
        """By reason, of how many rows there is no score."""
        found: dict[str, int] = {}
        for row in self.source.rows:
            if row.reason is not None:
                found[row.reason.split(":")[0]] = found.get(row.reason.split(":")[0], 0) + 1
        for name, count in self.strange.items():
            found[f"{name!r} is no concept of the lexicon"] = count
        return found | ({"image cannot be read": len(wrong)} if wrong else {})


def _read(images: str | Path, columns: Columns, groups: Mapping[str, Sequence[str]]) -> _Labelled:
    source = read_concepts(images, columns)
    shown, strange = concepts_shown(source.rows, groups)
    first = {key: number for key, number in source.by_key().items() if key in shown}
    return _Labelled(source, shown, strange, first)


def _write_tables(
    folder: JobFolder, done: AwarenessRun, concepts: pd.DataFrame, *, about: Mapping[str, object], dataset: str
) -> None:
    main, *_ = done.bare
    trends = pd.DataFrame([{"over": name, **vars(one)} for name, one in done.trends.items()])
    content = {
        **written.as_json(done.bare[main]),
        "concepts": written.records(concepts),
        "with_templates": {name: written.as_json(table) for name, table in done.templated.items()},
        "models": {name: written.as_json(table) for name, table in done.bare.items()},
        "coverage": written.records(trends),
        "left_out": done.left_out,
        **about,
    }
    folder.write_json("awareness.json", content)
    records = (written.as_clip_benchmark(table, model=name, dataset=dataset) for name, table in done.bare.items())
    folder.write_json("clip_benchmark.json", list(chain.from_iterable(records)))
    long = [
        table.concepts.assign(model=name, prompts=prompts)
        for prompts, tables in (("bare", done.bare), ("templates", done.templated))
        for name, table in tables.items()
    ]
    _write_table(folder, "awareness.parquet", pd.concat(long, ignore_index=True))


def _write_table(folder: JobFolder, name: str, table: pd.DataFrame) -> None:
    with whole(folder.path / name, of_job=True) as unfinished:
        table.to_parquet(unfinished)


def _answers(
    found: AwarenessTable, model: str, prompts: str, keys: Sequence[str], clusters: np.ndarray
) -> pd.DataFrame:
    """What each image is told to show, by its key, so that another model can be compared on the same images."""
    rows = found.answers["image"].to_numpy()
    named = found.answers.drop(columns="image").assign(key=np.array(keys, dtype=object)[rows], cluster=clusters[rows])
    return named.assign(model=model, prompts=prompts)[["model", "prompts", "group", "key", "cluster", "shown", "told"]]


def _name(path: str, paths: Sequence[str]) -> str:
    """What a model is called: its folder, or all of the path where two folders are called alike."""
    alike = [one for one in paths if Path(one).name == Path(path).name]
    return Path(path).name if len(alike) == 1 else path


def _trends(concepts: pd.DataFrame, seed: int) -> dict[str, Trend]:
    """Rank correlations of coverage and F1 over concepts, within groups, and over the means of groups.

    F1 rises with the share of images that show a concept, whoever tells them, and captions often speak of what images
    often show. So beside F1 stand recall, which does not, and what guessing gives.
    """
    known = concepts[concepts["support"] > 0]
    inner = known.assign(
        share=known.groupby("group")["share"].rank(pct=True), f1=known.groupby("group")["f1"].rank(pct=True)
    )
    means = known.groupby("group")[["share", "f1"]].mean()
    pairs = {
        "all concepts": (known, "f1"),
        "within groups": (inner, "f1"),
        "between groups": (means, "f1"),
        "all concepts, recall": (known, "recall"),
        "all concepts, F1 of guessing": (known, "chance_f1"),
    }
    return {
        name: trend(*(part[one].to_numpy(dtype=float) for one in ("share", column)), generator=_stream(seed))
        for name, (part, column) in pairs.items()
    }


def _stream(seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, 1])


def _coverage_section(concepts: pd.DataFrame, trends: Mapping[str, Trend]) -> Section:
    draw = partial(coverage_against_awareness, concepts[concepts["support"] > 0])
    told = "; ".join(f"{name}: {one}" for name, one in trends.items())
    caption = f"F1 of each concept against the share of captions that mention it. Spearman: {told}."
    figure = picture(svg(draw(layout="wide")), svg(draw(layout="narrow")), caption=caption)
    lists = [
        f"{standing}: {', '.join(part['concept']) or 'none'}."
        for standing in ("mentioned, not seen", "hardly mentioned, seen", "neither")
        for part in [concepts[concepts["standing"] == standing]]
    ]
    return Section("Coverage and awareness", figure + prose(*lists))


def _examples(
    table: AwarenessTable,
    file: Path,
    model: ImageTextModel,
    *,
    groups: Mapping[str, Sequence[str]],
    labelled: _Labelled,
) -> dict[tuple[str, str, str], Markup]:
    """For the pairs that are confused most, one image each: the one that is nearest to the wrong name."""
    z, keys = read_images(file)
    found = {}
    pairs = written.confused(table).head(written.MOST_PAIRS)
    for group, one, other in zip(pairs["group"], pairs["shown"], pairs["told"], strict=True):
        names = list(groups[group])
        wrong = names.index(other)
        cosines = (unit(z) @ embed_concepts(names, model.embed_texts).T).numpy()
        here = np.array([(group, one) in labelled.shown[key] for key in keys])
        taken = np.where(here & (cosines.argmax(1) == wrong), cosines[:, wrong], -np.inf)
        if np.isfinite(taken.max()):
            found[group, one, other] = _thumbnail(labelled, keys[int(taken.argmax())])
    return found


def _thumbnail(labelled: _Labelled, key: str) -> Markup:
    images, numbers = labelled.source.images([labelled.first[key]])
    image = images.decoded(int(numbers[0]))
    image.thumbnail((_THUMBNAIL, _THUMBNAIL))
    held = io.BytesIO()
    image.save(held, "PNG")
    return Markup('<img src="{}" alt="{}">').format(data_uri("image/png", held.getvalue()), key)
