"""Curates a corpus file by file: planned first, in shards, again after it was killed, and back to what it was.

The folder holds `captions/` (the files in their form and order), `edits.parquet`, `curation.json` and `page.html`; and
for resuming and the way back `parts/`, what was done to each file, and `aside/`, what the files have lost.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from os.path import commonpath
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from vergence.arrow import concatenate
from vergence.corpus import BiasEstimate
from vergence.corpus.counting import digest
from vergence.corpus.lexicon import Lexicon
from vergence.curation.diff import Editor, Tally
from vergence.curation.files import Columns, Done
from vergence.curation.files import digest as digest_of_file
from vergence.curation.labels import read_labels
from vergence.curation.placing import Tagger
from vergence.curation.policy import CurationPolicy, plan_curation
from vergence.curation.survey import Survey, refused_shares, repeated
from vergence.curation.target import Target
from vergence.curation.work import Shared, Task, edit, look_through, make_editor, models, places_of, turn_back
from vergence.curation.writing import PROMPT, Writer
from vergence.engines import Engine, check_shard, done_by
from vergence.errors import ConfigError, CorpusError
from vergence.files import whole
from vergence.folders import JobFolder
from vergence.sources.discovery import Part, plan
from vergence.sources.problems import Problems

CAPTIONS, EDITS_FILE, RESULT = "captions", "edits.parquet", "curation.json"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Order:
    """All that decides what becomes of a corpus.

    Args:
        paths: Files, folders and globs.
        lexicon: Groups are factors.
        target: What is wanted.
        columns: Where captions and keys are.
        labels: A Parquet file of what images show, by key.
        seed: Of all draws, in [0, 2^63).
        encoding_size: For expected scores, the model's output size.
        bottleneck: β.
        temperature: τ.
        tagger: A folder of `transformers` that tells parts of speech, or a function that does; places what is added.
        writer: A folder of `transformers` that writes text, or a function that does; for what no rule can edit.
        prompt: What the writer is asked, with {wish} and {caption} once each.
    """

    paths: tuple[str, ...]
    lexicon: Lexicon
    target: Target
    columns: Columns = field(default_factory=Columns)
    labels: str | None = None
    seed: int = 0
    encoding_size: int | None = None
    bottleneck: float = 0.0
    temperature: float | None = None
    tagger: str | Tagger | None = None
    writer: str | Writer | None = None
    prompt: str = PROMPT


@dataclass(frozen=True, eq=False)
class Planned:
    """What will be done, and what it costs.

    Args:
        policy: What is done to each value, and what follows.
        survey: What the corpus mentions.
        before: What the sample's captions omit and get wrong; `None` without labels.
        after: The same when they are curated.
        tried: What was done to the sample.
        files: The corpus.
        editor: Edits it.
        repeats: By file, which of its captions were there before, if they are to go.
    """

    policy: CurationPolicy
    survey: Survey
    before: BiasEstimate | None
    after: BiasEstimate | None
    tried: Tally
    files: tuple[Part, ...]
    editor: Editor
    repeats: Mapping[str, np.ndarray]

    @property
    def touched(self) -> float:
        """The share of captions that will be edited, by the sample."""
        return self.tried.counts["edited"] / max(1, self.tried.counts["captions"])

    @property
    def bytes(self) -> int:
        """Of files that are written anew."""
        return sum(part.size for part in self.files)


@dataclass(frozen=True, eq=False)
class Curation:
    """What was done.

    Args:
        tally: In all files that are done.
        done: How many of them.
        files: How many there are.
        shard: How many of them were this shard's.
    """

    tally: Tally
    done: int
    files: int
    shard: int


def make_plan(
    order: Order,
    *,
    engine: Engine = Engine(),  # noqa: B008 - frozen
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Planned:
    """Look through a corpus and plan what to do; writes nothing.

    Args:
        order: What is wanted.
        engine: Where files are looked through.
        progress: Called with the files seen, and all of them.

    Raises:
        CorpusError: If the corpus cannot be read, or holds no caption.
        ConfigError: If the target needs labels and there are none.
    """
    tagger, writer = models(order.tagger, order.writer)  # before anything that takes long
    files = tuple(files_of(order.paths))
    labels = read_labels(order.labels, order.lexicon, key_column=order.columns.key) if order.labels else None
    if order.labels and not order.columns.key:
        raise ConfigError("labels are found by key; name the column of keys with --key-column")
    shared = Shared(
        job=f"{order.lexicon.fingerprint} {order.labels}", lexicon=order.lexicon, target=order.target,
        columns=order.columns, labels=_absolute(order.labels), seed=order.seed,
    )  # fmt: skip
    survey = Survey(order.lexicon, labels)
    here = replace(shared, editor=make_editor(shared, labels)) if engine.kind == "threads" else shared
    digests: list[np.ndarray] = [np.empty(0, np.uint64)] * len(files)
    tasks = _tasks(files, _names(files))
    for count, (task, own) in enumerate(done_by(engine, look_through, tasks, here), 1):
        survey.add(own)
        digests[task.number] = np.concatenate([np.empty(0, np.uint64), *own.digests])
        progress(count, len(files))
    if not survey.captions:
        raise CorpusError(f"no caption was read from {len(files)} files; name their column with --caption-column")
    before = survey.estimate()
    training: dict[str, Any] = {
        "encoding_size": order.encoding_size, "bottleneck": order.bottleneck, "temperature": order.temperature,
    }  # fmt: skip
    policy = plan_curation(before, order.target, order.lexicon, **training)
    shared = replace(shared, actions=policy.actions)
    tried, after = survey.tried(make_editor(shared, labels))  # by rules alone, which is quick
    shares = refused_shares(tried, order.target.wishes)
    policy = plan_curation(before, order.target, order.lexicon, refused=shares, **training)
    repeats = repeated(digests) if order.target.deduplicate else []
    by_file = {part.path: again for part, again in zip(files, repeats, strict=False)}
    editor = make_editor(replace(shared, tagger=tagger, writer=writer, prompt=order.prompt), labels)
    return Planned(policy, survey, before, after, tried, files, editor, by_file)


def curate(
    order: Order,
    planned: Planned,
    out: Path,
    *,
    engine: Engine = Engine(),  # noqa: B008 - frozen
    shard: tuple[int, int] = (0, 1),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Curation:
    """Carry out a plan; goes on where it was, if it was killed.

    Args:
        order: What is wanted.
        planned: Of the same order.
        out: Folder of the results.
        engine: Where files are edited; all of its processes see the corpus and `out`. The files do not depend on it.
        shard: (number, of how many): the files of this shard only.
        progress: Called with the files done, and all of the shard.

    Returns:
        What was done, in all files that are done. `edits.parquet` is written with the last of them.

    Raises:
        CorpusError: If a file cannot be read or edited.
        ConfigError: If the folder holds something else.
        OutputError: If it cannot be written to.
    """
    number, shards = check_shard(shard)
    job = _job(order, planned)
    folder = JobFolder.claim(out, job, present="resume")
    tasks = list(_tasks(planned.files, _names(planned.files), planned.repeats))
    own = tasks[number::shards]
    waiting = [task for task in own if _done(folder, task) is None]
    shared = Shared(
        job=digest(job), lexicon=order.lexicon, target=order.target, columns=order.columns,
        labels=_absolute(order.labels), seed=order.seed, actions=planned.policy.actions, out=out.absolute(),
        editor=planned.editor if engine.kind == "threads" else None,
        tagger=_absolute(order.tagger), writer=_absolute(order.writer), prompt=order.prompt,
    )  # fmt: skip
    progress(len(own) - len(waiting), len(own))
    for count, _ in enumerate(done_by(engine, edit, waiting, shared), 1 + len(own) - len(waiting)):
        progress(count, len(own))
    tally = Tally()
    finished = [done for task in tasks if (done := _done(folder, task))]
    for done in finished:
        tally.add(Tally.from_dict(done.tally))
    if len(finished) == len(tasks):
        _gather(out, [places_of(out, task.name, task.key).edits for task in tasks])
    return Curation(tally, len(finished), len(tasks), len(own))


def undo(
    out: Path,
    back: Path,
    *,
    engine: Engine = Engine(),  # noqa: B008 - frozen
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> int:
    """Write the files as they were before `curate`, byte for byte.

    Args:
        out: The folder of a curation.
        back: Where the files go; a new folder.
        engine: Where they are turned back.
        progress: Called with the files done, and all of them.

    Returns:
        How many files came back.

    Raises:
        CorpusError: If the folder holds no curation, or its files are not as they were written.
    """
    job = JobFolder(out).read_json("job.json")
    if not isinstance(job, dict) or job.get("job") != "curate":
        raise CorpusError(f"{out} holds no curation; name the folder that vergence curate has written")
    target = JobFolder.claim(back, {"job": "curate-undo", "of": digest(job)}, present="resume")
    tasks = [
        Task(number, Part(entry["name"], entry["kind"], entry["size"], 0), entry["name"], entry["key"])
        for number, entry in enumerate(job["files"])
    ]
    shared = {
        "out": out.absolute(),
        "captions": target.path.absolute() / CAPTIONS,
        "columns": Columns(**job["columns"]),
    }
    count = 0
    for number, (_, one) in enumerate(done_by(engine, turn_back, tasks, shared), 1):
        count += one
        progress(number, len(tasks))
    if not count:
        raise CorpusError(f"{out}: no file is done, so there is nothing to turn back")
    return count


def files_of(paths: Iterable[str]) -> Iterator[Part]:
    """The whole files of a corpus, in the order of their names."""
    known: set[str] = set()
    for part in plan(list(paths), Problems(strict=True)):
        for one in part.files or (part,):
            if one.path not in known:
                known.add(one.path)
                yield Part(one.path, one.kind, one.size, one.modified)


def _names(files: Sequence[Part]) -> list[str]:
    """What files are called among the results: by their paths from the folder that all are in."""
    paths = [Path(part.path).absolute() for part in files]
    root = paths[0].parent if len(paths) == 1 else Path(commonpath(paths))
    return [path.relative_to(root).as_posix() for path in paths]


def _key(part: Part, name: str) -> str:
    return sha256(f"{name}\n{part.size}\n{part.kind}".encode()).hexdigest()[:24]


def _tasks(
    files: Sequence[Part], names: Sequence[str], repeats: Mapping[str, np.ndarray] = MappingProxyType({})
) -> Iterator[Task]:
    """A task for each file; whoever does it may stand in another folder."""
    for number, (part, name) in enumerate(zip(files, names, strict=True)):
        there = replace(part, path=str(Path(part.path).absolute()))
        yield Task(number, there, name, _key(part, name), repeats.get(part.path))


def _known_by(model: Any) -> str:
    """What a model is told from others by: the files of its folder, or its name."""
    if not isinstance(model, str):
        return f"{model.__module__}.{getattr(model, '__qualname__', type(model).__qualname__)}"
    files = sorted(path for path in Path(model).iterdir() if path.is_file())
    return digest([(path.name, digest_of_file(path)) for path in files])


def _absolute(given: Any) -> Any:
    """A path from wherever one stands; anything else as it is."""
    return str(Path(given).absolute()) if isinstance(given, str) else given


def _done(folder: JobFolder, task: Task) -> Done | None:
    """What became of a file; `None` if it is still to be done."""
    found = folder.read_result(f"parts/{task.key}.json")
    if found is None or not (folder.path / CAPTIONS / task.name).is_file():
        return None
    return Done.from_dict(found)


def _job(order: Order, planned: Planned) -> dict[str, Any]:
    """What tells this job from others: what is done to which files; shards of it share it."""
    names = _names(planned.files)
    return {
        "job": "curate",
        "format": _FORMAT,
        "lexicon": order.lexicon.fingerprint,
        "actions": [action.to_dict() for action in planned.policy.actions],
        "templates": dict(order.target.templates),
        "generic": order.target.generic,
        "nouns": list(order.target.nouns),
        "allow_empty": order.target.allow_empty,
        "deduplicate": order.target.deduplicate,
        "seed": order.seed,
        "labels": None if order.labels is None else digest_of_file(Path(order.labels)),
        "columns": asdict(order.columns),
        **({"tagger": _known_by(order.tagger)} if order.tagger else {}),
        **({"writer": _known_by(order.writer), "prompt": order.prompt} if order.writer else {}),
        "files": [
            {"name": name, "kind": part.kind, "size": part.size, "key": _key(part, name)}
            for part, name in zip(planned.files, names, strict=True)
        ],
    }


def _gather(out: Path, parts: Sequence[Path]) -> None:
    """One table of all edits, in the order of files and rows."""
    with whole(out / EDITS_FILE, of_job=True) as partial:
        concatenate(parts, partial)


__all__ = ["CAPTIONS", "EDITS_FILE", "RESULT", "Curation", "Order", "Planned", "curate", "make_plan", "undo"]
