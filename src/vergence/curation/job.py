"""Curates a corpus file by file: planned first, in shards, again after it was killed, and back to what it was.

The folder holds `captions/` (the files in their form and order), `edits.parquet`, `curation.json` and `page.html`; and
for resuming and the way back `parts/`, what was done to each file, and `aside/`, what the files have lost.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from os.path import commonpath
from pathlib import Path
from typing import Any

import numpy as np

from vergence.arrow import concatenate
from vergence.checks import at_least
from vergence.corpus import BiasEstimate
from vergence.corpus.counting import digest
from vergence.corpus.lexicon import Lexicon
from vergence.curation.diff import Editor, Tally
from vergence.curation.files import Columns, Done, Places, edit_file, undo_file, watch_file
from vergence.curation.files import digest as digest_of_file
from vergence.curation.labels import KeyedLabels, read_labels
from vergence.curation.policy import CurationPolicy, plan_curation
from vergence.curation.rewrite import Rewriter
from vergence.curation.survey import Survey, refused_shares, repeated
from vergence.curation.target import Target
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
    order: Order, *, workers: int = 1, progress: Callable[[int, int], None] = lambda done, total: None
) -> Planned:
    """Look through a corpus and plan what to do; writes nothing.

    Args:
        order: What is wanted.
        workers: Files at a time.
        progress: Called with the files seen, and all of them.

    Raises:
        CorpusError: If the corpus cannot be read, or holds no caption.
        ConfigError: If the target needs labels and there are none.
    """
    at_least("workers", workers, 1)
    files = tuple(files_of(order.paths))
    labels = read_labels(order.labels, order.lexicon, key_column=order.columns.key) if order.labels else None
    if order.labels and not order.columns.key:
        raise ConfigError("labels are found by key; name the column of keys with --key-column")
    survey = Survey(order.lexicon, labels)
    digests: list[np.ndarray] = []

    def seen(part: Part) -> Survey:
        own = Survey(order.lexicon, labels, remember=order.target.deduplicate)
        watch_file(part, order.columns, own.see)
        return own

    with ThreadPoolExecutor(workers) as pool:
        for count, own in enumerate(pool.map(seen, files), 1):
            survey.add(own)
            digests.append(np.concatenate([np.empty(0, np.uint64), *own.digests]))
            progress(count, len(files))
    if not survey.captions:
        raise CorpusError(f"no caption was read from {len(files)} files; name their column with --caption-column")
    before = survey.estimate()
    training: dict[str, Any] = {
        "encoding_size": order.encoding_size, "bottleneck": order.bottleneck, "temperature": order.temperature,
    }  # fmt: skip
    policy = plan_curation(before, order.target, order.lexicon, **training)
    editor = _editor(order, policy, labels)
    tried, after = survey.tried(editor)
    shares = refused_shares(tried, order.target.wishes)
    policy = plan_curation(before, order.target, order.lexicon, refused=shares, **training)
    repeats = repeated(digests) if order.target.deduplicate else []
    by_file = {part.path: again for part, again in zip(files, repeats, strict=False)}
    return Planned(policy, survey, before, after, tried, files, editor, by_file)


def curate(
    order: Order, planned: Planned, out: Path, *, workers: int = 1, shard: tuple[int, int] = (0, 1),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Curation:  # fmt: skip
    """Carry out a plan; goes on where it was, if it was killed.

    Args:
        order: What is wanted.
        planned: Of the same order.
        out: Folder of the results.
        workers: Files at a time.
        shard: (number, of how many): the files of this shard only.
        progress: Called with the files done, and all of the shard.

    Returns:
        What was done, in all files that are done. `edits.parquet` is written with the last of them.

    Raises:
        CorpusError: If a file cannot be read or edited.
        ConfigError: If the folder holds something else.
        OutputError: If it cannot be written to.
    """
    at_least("workers", workers, 1)
    number, shards = shard
    at_least("num_shards", shards, 1)
    if not 0 <= number < shards:
        raise ConfigError(f"shard_id must be in 0..{shards - 1}; got {number}")
    folder = JobFolder.claim(out, _job(order, planned), present="resume")
    names = _names(planned.files)
    own = list(zip(planned.files, names, strict=True))[number::shards]

    def work(item: tuple[Part, str]) -> None:
        part, name = item
        if _done(folder, part, name) is None:
            again = planned.repeats.get(part.path)
            places = _places(out, part, name)
            done = edit_file(part, name, places, order.columns, planned.editor, repeated=again)
            folder.write_result(f"parts/{_key(part, name)}.json", done.to_dict())

    with ThreadPoolExecutor(workers) as pool:
        for count, _ in enumerate(pool.map(work, own), 1):
            progress(count, len(own))
    tally = Tally()
    finished = [done for part, name in zip(planned.files, names, strict=True) if (done := _done(folder, part, name))]
    for done in finished:
        tally.add(Tally.from_dict(done.tally))
    if len(finished) == len(planned.files):
        _gather(out, [_places(out, part, name).edits for part, name in zip(planned.files, names, strict=True)])
    return Curation(tally, len(finished), len(planned.files), len(own))


def undo(
    out: Path, back: Path, *, workers: int = 1, progress: Callable[[int, int], None] = lambda done, total: None
) -> int:
    """Write the files as they were before `curate`, byte for byte.

    Args:
        out: The folder of a curation.
        back: Where the files go; a new folder.
        workers: Files at a time.
        progress: Called with the files done, and all of them.

    Returns:
        How many files came back.

    Raises:
        CorpusError: If the folder holds no curation, or its files are not as they were written.
    """
    folder = JobFolder(out)
    job = folder.read_json("job.json")
    if not isinstance(job, dict) or job.get("job") != "curate":
        raise CorpusError(f"{out} holds no curation; name the folder that vergence curate has written")
    columns = Columns(**job["columns"])
    target = JobFolder.claim(back, {"job": "curate-undo", "of": digest(job)}, present="resume")
    entries = [(entry["name"], entry["kind"], entry["key"]) for entry in job["files"]]

    def work(entry: tuple[str, str, str]) -> int:
        name, kind, key = entry
        found = folder.read_result(f"parts/{key}.json")
        if found is None:
            return 0
        done = Done.from_dict(found)
        written = target.path / CAPTIONS / name
        if not (written.is_file() and digest_of_file(written) == done.source):
            undo_file(done, _of(out, name, key), written, columns, kind)
        return 1

    count = 0
    with ThreadPoolExecutor(workers) as pool:
        for number, one in enumerate(pool.map(work, entries), 1):
            count += one
            progress(number, len(entries))
    if not count:
        raise CorpusError(f"{out}: no file is done, so there is nothing to turn back")
    return count


def _editor(order: Order, policy: CurationPolicy, labels: KeyedLabels | None) -> Editor:
    target = order.target
    rewriter = Rewriter(
        order.lexicon, templates=target.templates, generic=target.generic, nouns=target.nouns,
        allow_empty=target.allow_empty,
    )  # fmt: skip
    return Editor(rewriter, policy.actions, labels, order.seed)


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


def _places(out: Path, part: Part, name: str) -> Places:
    return _of(out, name, _key(part, name))


def _of(out: Path, name: str, key: str) -> Places:
    return Places(out / CAPTIONS / name, out / "parts" / f"{key}.parquet", out / "aside" / f"{key}.original")


def _done(folder: JobFolder, part: Part, name: str) -> Done | None:
    """What became of a file; `None` if it is still to be done."""
    found = folder.read_result(f"parts/{_key(part, name)}.json")
    if found is None or not (folder.path / CAPTIONS / name).is_file():
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
