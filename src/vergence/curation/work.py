"""What is done to one file of a corpus, wherever it is done: looked through, edited, or turned back."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from vergence.corpus.lexicon import Lexicon
from vergence.curation.actions import Action
from vergence.curation.diff import Editor
from vergence.curation.files import Columns, Done, Places, digest, edit_file, undo_file, watch_file
from vergence.curation.labels import KeyedLabels, read_labels
from vergence.curation.placing import Placer, Tagger
from vergence.curation.rewrite import Rewriter
from vergence.curation.survey import Survey
from vergence.curation.target import Target
from vergence.curation.writing import PROMPT, Rewriting, Writer
from vergence.folders import JobFolder
from vergence.sources.discovery import Part


@dataclass(frozen=True, eq=False)
class Task:
    """One file.

    Args:
        number: Its place among the files.
        part: The file.
        name: What it is called among the results.
        key: What its provenance is called.
        repeated: Which of its captions were there before, if they are to go.
    """

    number: int
    part: Part
    name: str
    key: str
    repeated: np.ndarray | None = None

    def __str__(self) -> str:
        return self.part.path


@dataclass(frozen=True)
class Shared:
    """What all files need; where they are done in other processes, an editor is made in each.

    Args:
        job: Digest of what is done, which an editor is known by.
        lexicon: Groups are factors.
        target: What is wanted.
        columns: Where captions and keys are.
        labels: Their file.
        seed: Of all draws.
        actions: What is asked of each factor; none while a corpus is looked through.
        out: Folder of the results.
        tagger: A folder, or what tags words.
        writer: A folder, or what writes captions.
        prompt: What a writer is asked.
        editor: If it is here already.
    """

    job: str
    lexicon: Lexicon = field(compare=False)
    target: Target = field(compare=False)
    columns: Columns = field(compare=False)
    labels: str | None = field(compare=False)
    seed: int = field(compare=False)
    actions: tuple[Action, ...] = field(default=(), compare=False)
    out: Path = field(default=Path(), compare=False)
    tagger: str | Tagger | None = field(default=None, compare=False)
    writer: str | Writer | None = field(default=None, compare=False)
    prompt: str = field(default=PROMPT, compare=False)
    editor: Editor | None = field(default=None, compare=False)


def look_through(task: Task, shared: Shared) -> Survey:
    """What a file mentions, and a sample of it."""
    labels = shared.editor.labels if shared.editor else _labels(shared)
    own = Survey(shared.lexicon, labels, remember=shared.target.deduplicate)
    watch_file(task.part, shared.columns, own.see)
    own.labels = None  # everybody has them
    return own


def edit(task: Task, shared: Shared) -> None:
    """Edit a file; that it is done is written last."""
    places = places_of(shared.out, task.name, task.key)
    editor = shared.editor or _editor(shared)
    done = edit_file(task.part, task.name, places, shared.columns, editor, repeated=task.repeated)
    JobFolder(shared.out).write_result(f"parts/{task.key}.json", done.to_dict())


def turn_back(task: Task, shared: Mapping[str, Any]) -> bool:
    """Write a file as it was; says whether it had been edited."""
    found = JobFolder(shared["out"]).read_result(f"parts/{task.key}.json")
    if found is None:
        return False
    done = Done.from_dict(found)
    written = shared["captions"] / task.name
    if not (written.is_file() and digest(written) == done.source):
        undo_file(done, places_of(shared["out"], task.name, task.key), written, shared["columns"], task.part.kind)
    return True


def make_editor(shared: Shared, labels: KeyedLabels | None) -> Editor:
    """What edits as a job asks."""
    target = shared.target
    rewriter = Rewriter(
        shared.lexicon, templates=target.templates, generic=target.generic, nouns=target.nouns,
        allow_empty=target.allow_empty,
    )  # fmt: skip
    tagger, writer = models(shared.tagger, shared.writer)
    matcher = rewriter.matcher
    placer = Placer(tagger, rewriter.phrases, matcher, rewriter.adjectives) if tagger else None
    rewriting = Rewriting(writer, shared.lexicon, matcher, shared.prompt) if writer else None
    return Editor(rewriter, shared.actions, labels, shared.seed, placer, rewriting)


def models(tagger: str | Tagger | None, writer: str | Writer | None) -> tuple[Tagger | None, Writer | None]:
    """What tags and what writes, loaded where it is a folder.

    Raises:
        CorpusError: If a folder holds no such model.
    """
    if isinstance(tagger, str) or isinstance(writer, str):
        from vergence.curation.models import FolderTagger, FolderWriter

        tagger = FolderTagger(tagger) if isinstance(tagger, str) else tagger
        writer = FolderWriter(writer) if isinstance(writer, str) else writer
    return tagger, writer


def places_of(out: Path, name: str, key: str) -> Places:
    """Where the results of a file go."""
    return Places(out / "captions" / name, out / "parts" / f"{key}.parquet", out / "aside" / f"{key}.original")


@lru_cache(maxsize=1)
def _editor(shared: Shared) -> Editor:
    return make_editor(shared, _labels(shared))


@lru_cache(maxsize=1)
def _labels(shared: Shared) -> KeyedLabels | None:
    if not shared.labels:
        return None
    return read_labels(shared.labels, shared.lexicon, key_column=shared.columns.key)
