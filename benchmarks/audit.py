"""Matching captions to concepts, and whole audits, against the loop over captions that is published for it.

Text is real English: glosses of WordNet's nouns and captions of the embedded set, resampled to the wanted number.
Peers get a list of Python strings, ready made; ours gets an Arrow array. Needs Debian's `wordnet-base`, or WNSEARCHDIR
set to a folder with `data.noun`, and for the peers the packages `pyahocorasick` and, if it is there, `hyperscan`.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import Case, Run, Side
from vergence.corpus import Engine, Matcher, audit, concepts_146
from vergence.corpus.wordnet import DEBIAN_FOLDER
from vergence.data import load_emoji

PACKAGES = ("pyarrow", "numba", "numpy", "pyahocorasick", "hyperscan")
SEED = 0
_CHUNK = 1 << 16


def cases() -> Iterator[Case]:
    """Matching in memory on one and two threads against each peer; whole audits from zstd Parquet."""
    sizes, small = {"n": 500_000}, {"n": 20_000}
    peers = {"the published loop, substrings": published_loop, "a loop that checks whole words": whole_word_loop}
    if find_spec("hyperscan"):
        peers["hyperscan, whole words"] = hyperscan_loop
    compared = [(2, name) for name in peers] + [(1, next(iter(peers)))]
    for threads, name in compared:
        ours = Side(make=in_memory, sizes={**sizes, "threads": threads}, small=small)
        peer = Side(make=peers[name], sizes=sizes, small=small)
        title = f"500 k captions in memory to concept counts, {threads} thread(s), against {name}"
        yield Case(name=title, ours=ours, peer=peer, repeats=3, rounds=2)
    parquet = {"files": 20, "rows": 100_000, "threads": 2}
    tiny = {"files": 1, "rows": 2_000}
    reading = Side(make=reading_alone, sizes=parquet, small=tiny)
    whole = Side(make=whole_audit, sizes=parquet, small=tiny)
    title = "2 M captions in 20 files of zstd Parquet, whole audit on 2 threads, against reading them alone"
    yield Case(name=title, ours=whole, peer=reading, repeats=3, rounds=2)
    large = Side(make=whole_audit, sizes={**parquet, "files": 200}, small=tiny)
    title = "20 M captions in 200 files, whole audit on 2 threads: peak memory"
    yield Case(name=title, ours=large, repeats=1, rounds=1)


def english(n: int) -> pa.Array:
    """Glosses and captions, resampled."""
    path = Path(os.environ.get("WNSEARCHDIR") or DEBIAN_FOLDER) / "data.noun"
    lines = path.read_text(encoding="utf-8").splitlines()
    texts = pa.array([line.split(" | ", 1)[1].strip() for line in lines if " | " in line] + list(load_emoji().texts))
    return texts.take(pa.array(np.random.default_rng(SEED).integers(0, len(texts), n)))


def in_memory(*, n: int, threads: int) -> Run:
    """Ours: chunks of an Arrow array, counted in threads."""
    captions, matcher, n_concepts = english(n), Matcher(concepts_146()), len(concepts_146().concepts)
    chunks = [captions.slice(start, _CHUNK) for start in range(0, n, _CHUNK)]

    def count(chunk: pa.Array) -> np.ndarray:
        return np.bincount(matcher.mentions(chunk).concepts, minlength=n_concepts)

    def run() -> float:
        with ThreadPoolExecutor(threads) as pool:
            return float(sum(pool.map(count, chunks)).sum())

    return run


def published_loop(*, n: int) -> Run:
    """One automaton call per caption, every hit inside words counted, one concept per form."""
    automaton, captions = _ahocorasick(), english(n).to_pylist()

    def run() -> float:
        counts = dict.fromkeys(range(len(concepts_146().concepts)), 0)
        for caption in captions:
            for concept in {concept for _, (_, concept) in automaton.iter(caption.lower())}:
                counts[concept] += 1
        return float(sum(counts.values()))

    return run


def whole_word_loop(*, n: int) -> Run:
    """The same with a look at both neighbours of each hit."""
    automaton, captions = _ahocorasick(), english(n).to_pylist()

    def is_word(character: str) -> bool:
        return character.isalnum() or character == "_"

    def run() -> float:
        counts = dict.fromkeys(range(len(concepts_146().concepts)), 0)
        for caption in captions:
            text, found = caption.lower(), set()
            for last, (length, concept) in automaton.iter(text):
                before, after = last - length, last + 1
                if (before < 0 or not is_word(text[before])) and (after == len(text) or not is_word(text[after])):
                    found.add(concept)
            for concept in found:
                counts[concept] += 1
        return float(sum(counts.values()))

    return run


def hyperscan_loop(*, n: int) -> Run:
    """Intel's regular-expression engine with word boundaries, one call per caption."""
    import re

    import hyperscan

    forms = _forms()
    captions = [caption.encode() for caption in english(n).to_pylist()]
    database = hyperscan.Database()
    flags = hyperscan.HS_FLAG_CASELESS | hyperscan.HS_FLAG_SINGLEMATCH
    expressions = [rf"\b{re.escape(form)}\b".encode() for form, _ in forms]
    database.compile(expressions=expressions, ids=list(range(len(forms))), flags=[flags] * len(forms))

    def run() -> float:
        counts = dict.fromkeys(range(len(concepts_146().concepts)), 0)
        found: set[int] = set()
        seen = partial(_see, found, [concept for _, concept in forms])
        for caption in captions:
            database.scan(caption, match_event_handler=seen)
            for concept in found:
                counts[concept] += 1
            found.clear()
        return float(sum(counts.values()))

    return run


def whole_audit(*, files: int, rows: int, threads: int) -> Run:
    """Everything an audit counts, from files: matching, lengths, duplicates, examples, pairs, checks of UTF-8."""
    folder = _parquet(files, rows)

    def run() -> float:
        return float(audit([folder.name], concepts_146(), engine=Engine(workers=threads)).concepts.sum())

    return run


def reading_alone(*, files: int, rows: int, threads: int) -> Run:
    """pyarrow reading the same column of the same files in as many threads, and dropping it."""
    folder = _parquet(files, rows)

    def read(path: Path) -> int:
        file = pq.ParquetFile(path)
        return sum(len(batch) for batch in file.iter_batches(columns=["caption"], use_threads=False))

    def run() -> None:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(read, sorted(Path(folder.name).iterdir())))

    return run


def _parquet(files: int, rows: int) -> "tempfile.TemporaryDirectory[str]":
    folder: tempfile.TemporaryDirectory[str] = tempfile.TemporaryDirectory()
    different = min(files, 20)
    captions = english(different * rows)
    for number in range(files):
        path = Path(folder.name) / f"{number:04}.parquet"
        if number >= different:
            shutil.copyfile(Path(folder.name) / f"{number % different:04}.parquet", path)  # a link counts once
            continue
        table = pa.table({"caption": captions.slice(number * rows, rows)})
        pq.write_table(table, path, compression="zstd")
    return folder


def _forms() -> list[tuple[str, int]]:
    concepts = concepts_146().concepts
    return [(form, number) for number, concept in enumerate(concepts) for form in concept.surface_forms]


def _ahocorasick() -> Any:
    import ahocorasick

    automaton = ahocorasick.Automaton()
    for form, concept in _forms():
        automaton.add_word(form, (len(form), concept))
    automaton.make_automaton()
    return automaton


def _see(found: set[int], concepts: list[int], form: int, *_: object) -> None:
    found.add(concepts[form])
