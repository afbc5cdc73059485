"""Runs an audit part by part: in shards, and again after it was killed.

Every part's counts are a file of their own, named after all that decides them: the part, the lexicon, the options. It
is written whole or not at all. Resuming is to skip what exists; merging shards is to add up the files of several
folders, each name once; no part can count twice.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vergence.corpus.counting import Settings, count_part, count_to_bytes, digest
from vergence.corpus.coverage import Coverage
from vergence.corpus.lexicon import Lexicon
from vergence.corpus.lexicon_files import parse_yaml
from vergence.corpus.readers import ReadOptions
from vergence.corpus.store import Store, read_manifest, unpacked
from vergence.engines import Engine, check_shard, done_by
from vergence.errors import CorpusError
from vergence.sources.discovery import Part, plan
from vergence.sources.problems import Problems, short


@dataclass(frozen=True)
class Progress:
    """How far an audit is: parts done (of `parts`), captions counted, and bytes of files done (of `total_bytes`)."""

    done: int
    parts: int
    captions: int
    done_bytes: int
    total_bytes: int


def audit(
    paths: str | Path | Iterable[str | Path],
    lexicon: Lexicon,
    *,
    match: str = "word",
    options: ReadOptions | None = None,
    engine: Engine | None = None,
    out: str | Path | None = None,
    shard: tuple[int, int] = (0, 1),
    progress: Callable[[Progress], None] | None = None,
) -> Coverage:
    """Count what the captions of a corpus mention.

    Args:
        paths: Files, folders and globs.
        lexicon: What to look for.
        match: "word" or "substring", as in `Matcher`.
        options: Which captions, how long at most, and whether a problem stops the audit.
        engine: Threads on all cores if not given.
        out: A folder that keeps the counts of each part, by which a killed audit resumes; nothing is kept if not given.
        shard: (number, of how many): the parts of this shard only.
        progress: Called after each part.

    Returns:
        The coverage; the same whatever the engine, the division and the interruptions.

    Raises:
        CorpusError: If a path is wrong, no caption was read, or at the first problem if strict. A shard may be empty.
        ConfigError: If the shard does not exist, or no Ray cluster answers.
        OutputError: If `out` cannot be written to, or holds something else than an audit.

    Example:
        >>> import tempfile, pyarrow as pa, pyarrow.parquet as pq
        >>> from vergence.corpus import concepts_146
        >>> folder = tempfile.TemporaryDirectory()
        >>> pq.write_table(pa.table({"caption": ["a dog", "two cats", None]}), f"{folder.name}/a.parquet")
        >>> coverage = audit([folder.name], concepts_146())
        >>> coverage.captions, coverage.problems.counts, coverage.table().query("captions > 0")["concept"].tolist()
        (2, {'null': 1}, ['dog'])
    """
    settings = Settings(lexicon=lexicon, match=match, options=options or ReadOptions())
    engine = engine or Engine()
    number, shards = check_shard(shard)
    store = Store(Path(out), settings) if out is not None else None
    beside = Problems(strict=settings.options.strict)
    everything = plan(paths, beside)
    parts = everything[number::shards]
    if store:
        store.describe(everything, beside, shard)
    coverage = Coverage(lexicon, match, settings.n_examples)
    steps = _counted(parts, settings, engine, store)
    done_bytes, total = 0, sum(map(_bytes, parts))
    for done, (part, counts) in enumerate(steps, 1):
        coverage.merge(counts)
        done_bytes += _bytes(part)
        if progress:
            progress(Progress(done, len(parts), coverage.captions, done_bytes, total))
    coverage.problems.merge(beside)
    if shards == 1 or "no_column" in coverage.problems.counts:
        _require_captions(coverage)
    return coverage


def _require_captions(coverage: Coverage) -> None:
    """Refuse to make a table of zeros of a corpus that holds no caption, or none that could be read."""
    if coverage.captions:
        return
    problems = coverage.problems
    if "no_column" in problems.counts:
        first = problems.examples["no_column"][0]
        raise CorpusError(f"{first.file}: {first.detail}; name the caption column (--caption-column)")
    found = [f"{count:,} {kind}" for kind, count in problems.counts.items()]
    found += [f"{count:,} {what} beside them" for what, count in problems.passed_over.items()]
    fields = f"; the samples have the fields {', '.join(list(problems.fields)[:20])}" if problems.fields else ""
    places = [(place, kind) for kind, examples in problems.examples.items() for place in examples[:1]]
    place = f"; the first: {min(places)[0].described(min(places)[1])}" if places else ""
    raise CorpusError(f"no caption was read; found were only {', '.join(found) or 'empty files'}{place}{fields}")


def merge_audits(folders: Sequence[str | Path], lexicon: Lexicon | None = None) -> Coverage:
    """Add up the audits that several folders keep, such as the shards of one corpus.

    Args:
        folders: The `out` folders.
        lexicon: Not needed; the folders say which one they used. If given, it must be that one.

    Returns:
        The coverage of all parts of all folders, a part that several of them hold counted once.

    Raises:
        CorpusError: If a folder holds no audit, the audits count different things, or parts of a corpus are missing.
    """
    if not folders:
        raise CorpusError("name at least one folder to merge; got none")
    manifests = [read_manifest(Path(folder)) for folder in folders]
    first = manifests[0]
    for folder, manifest in zip(folders, manifests, strict=True):
        if manifest["settings"] != first["settings"]:
            raise CorpusError(f"{folder} and {folders[0]} were audited with different lexicons or options")
    used = parse_yaml(first["lexicon"], where=f"{folders[0]}/manifest.json")
    if lexicon is not None and lexicon.fingerprint != used.fingerprint:
        raise CorpusError(f"the folders were audited with the lexicon {used.name!r}, which differs from the one given")
    coverage = Coverage(used, first["match"], first["n_examples"])
    wanted = {key: path for manifest in manifests for key, path in manifest["parts"].items()}
    files = sorted(file for folder in folders for file in Path(folder, "parts").glob("[!.]*.counts"))
    found = {key: file for file in files if (key := file.stem.partition("-")[0]) in wanted}
    missing = sorted({path for key, path in wanted.items() if key not in found})
    if missing:
        raise CorpusError(
            f"{len(wanted) - len(found)} of {len(wanted)} parts are in none of the folders, the first of {missing[0]};"
            " finish or add the other shards"
        )
    for key in sorted(found):
        try:
            coverage.merge(unpacked(found[key].read_bytes(), used))
        except (OSError, CorpusError) as error:
            raise CorpusError(f"{found[key]}: {short(error)}; audit that shard again") from error
    corpora: dict[str, list[Problems]] = {}  # shards of one corpus have all met the same beside it: it counts once
    for manifest in manifests:
        corpora.setdefault(digest(manifest["parts"]), []).append(Problems.from_dict(manifest["beside"]))
    for met in corpora.values():
        coverage.problems.merge(max(met, key=lambda beside: (beside.total, beside.passed_over.total())))
    _require_captions(coverage)
    return coverage


def _bytes(part: Part) -> int:
    """A part's share of its file, for the time that is left; by rows is close enough."""
    return part.size if not part.last else min(part.size, 64 * part.rows)


def _counted(
    parts: Sequence[Part], settings: Settings, engine: Engine, store: Store | None
) -> Iterator[tuple[Part, Coverage]]:
    """The coverage of every part, in the order in which they are done."""
    waiting = []
    for part in parts:
        if store and (counts := store.load(part)) is not None:
            if settings.options.strict:
                _stop_at_problems(counts)
            yield part, counts
        else:
            waiting.append(part)
    if not waiting:
        return
    count = count_part if engine.kind == "threads" else count_to_bytes  # what leaves a process is bytes
    for part, result in done_by(engine, count, waiting, settings):
        data = result if isinstance(result, bytes) else None
        counts = Coverage.from_bytes(result, settings.lexicon) if isinstance(result, bytes) else result
        if store:
            store.save(part, data if data is not None else counts.to_bytes())
        yield part, counts


def _stop_at_problems(counts: Coverage) -> None:
    """An audit that goes on strictly must not pass over what an earlier, lenient run has counted."""
    for kind, places in counts.problems.examples.items():
        first = places[0]
        Problems(strict=True).add(kind, first.file, first.unit, [first.number], first.detail)
