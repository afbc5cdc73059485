"""Runs an audit part by part: in threads, in processes, on a Ray cluster; in shards, and again after it was killed.

Every part's counts are a file of their own, named after all that decides them: the part, the lexicon, the options. It
is written under another name and then renamed, so a file that exists is complete. Resuming is to skip what exists;
merging shards is to add up the files of several folders, each name once; no part can count twice.
"""

import json
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vergence.checks import at_least, one_of
from vergence.corpus.coverage import Coverage
from vergence.corpus.discovery import Part, plan
from vergence.corpus.lexicon import Lexicon, parse_yaml
from vergence.corpus.problems import Problems
from vergence.corpus.readers import ReadOptions, read_captions
from vergence.errors import ConfigError, CorpusError, MissingExtraError

ENGINES = ("threads", "processes", "ray")
_FORMAT = 1  # of the files of counts; another number never reads them


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All that decides the counts of a part, beside the part itself.

    Args:
        lexicon: What to look for.
        match: "word" or "substring".
        options: How captions are read.
        n_examples: Example captions to keep for each concept.
    """

    lexicon: Lexicon
    match: str = "word"
    options: ReadOptions = field(default_factory=ReadOptions)
    n_examples: int = 5

    @property
    def fingerprint(self) -> str:
        """A digest of all of it; strictness stops an audit but changes no count."""
        options = {name: value for name, value in asdict(self.options).items() if name != "strict"}
        return _digest([_FORMAT, self.lexicon.fingerprint, self.match, self.n_examples, options])

    def key(self, part: Part) -> str:
        """The name of a part's counts; without the time of change, which differs between copies of a corpus."""
        return _digest([self.fingerprint, {**asdict(part), "modified": 0}])


@dataclass(frozen=True, kw_only=True)
class Engine:
    """Where and how an audit runs.

    Args:
        kind: "threads", "processes" or "ray"; threads suit Parquet and Arrow, processes the text formats.
        workers: How many parts are read at a time; the number of usable cores if 0.
        address: Of a running Ray cluster; a local one is started if empty.

    Raises:
        ConfigError: If the kind is unknown, or the number of workers negative.
    """

    kind: str = "threads"
    workers: int = 0
    address: str = ""

    def __post_init__(self) -> None:
        one_of("engine", self.kind, ENGINES)
        at_least("workers", self.workers, 0)

    @property
    def width(self) -> int:
        """How many parts are read at a time."""
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        return self.workers or usable


@dataclass(frozen=True)
class Progress:
    """How far an audit is: parts done (of `parts`), captions counted, and bytes of files done (of `total_bytes`)."""

    done: int
    parts: int
    captions: int
    done_bytes: int
    total_bytes: int


def audit(
    paths: Iterable[str | Path],
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
        CorpusError: If a path is wrong, no file has the caption column, or at the first problem if strict.
        ConfigError: If the shard does not exist.

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
    number, shards = shard
    at_least("num_shards", shards, 1)
    if not 0 <= number < shards:
        raise ConfigError(f"shard_id must be in 0..{shards - 1}; got {number}")
    everything = plan(paths)
    parts = everything[number::shards]
    store = _Store(Path(out), settings) if out is not None else None
    if store:
        store.describe(everything, parts, shard)
    coverage = Coverage(lexicon, match, settings.n_examples)
    steps = _counted(parts, settings, engine, store)
    done_bytes, total = 0, sum(map(_bytes, parts))
    for done, (part, counts) in enumerate(steps, 1):
        coverage.merge(counts)
        done_bytes += _bytes(part)
        if progress:
            progress(Progress(done, len(parts), coverage.captions, done_bytes, total))
    if not coverage.captions and coverage.problems.counts.get("no_column"):
        first = coverage.problems.examples["no_column"][0]
        raise CorpusError(f"{first.file}: {first.detail}; name the caption column (--caption-column)")
    return coverage


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
    manifests = [_manifest(Path(folder)) for folder in folders]
    first = manifests[0]
    for folder, manifest in zip(folders, manifests, strict=True):
        if manifest["settings"] != first["settings"]:
            raise CorpusError(f"{folder} and {folders[0]} were audited with different lexicons or options")
    used = parse_yaml(first["lexicon"], where=f"{folders[0]}/manifest.json")
    if lexicon is not None and lexicon.fingerprint != used.fingerprint:
        raise CorpusError(f"the folders were audited with the lexicon {used.name!r}, which differs from the one given")
    coverage = Coverage(used, first["match"], first["n_examples"])
    wanted = {key: path for manifest in manifests for key, path in manifest["parts"].items()}
    files = sorted(file for folder in folders for file in Path(folder, "parts").glob("[!.]*.npz"))
    found = {key: file for file in files if (key := file.stem.partition("-")[0]) in wanted}
    missing = sorted({path for key, path in wanted.items() if key not in found})
    if missing:
        raise CorpusError(
            f"{len(wanted) - len(found)} of {len(wanted)} parts are in none of the folders, the first of {missing[0]};"
            " finish or add the other shards"
        )
    for key in sorted(found):
        coverage.merge(Coverage.from_bytes(found[key].read_bytes(), used))
    return coverage


def count_part(part: Part, settings: Settings) -> Coverage:
    """The coverage of one part.

    Raises:
        CorpusError: At the first problem, if strict.
    """
    coverage = Coverage(settings.lexicon, settings.match, settings.n_examples)
    problems = Problems(strict=settings.options.strict)
    for captions in read_captions(part, settings.options, problems):
        coverage.add(captions)
    coverage.problems = problems
    return coverage


def _bytes(part: Part) -> int:
    """A part's share of its file, for the time that is left; by rows is close enough."""
    return part.size if not part.last else min(part.size, 64 * part.rows)


class _Store:
    """The folder of an audit: a manifest of what it is to count, and the counts of the parts that are done."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder, self.settings = folder, settings
        (folder / "parts").mkdir(parents=True, exist_ok=True)

    def describe(self, everything: Sequence[Part], parts: Sequence[Part], shard: tuple[int, int]) -> None:
        manifest = {
            "format": _FORMAT,
            "settings": self.settings.fingerprint,
            "lexicon": self.settings.lexicon.to_yaml(),
            "match": self.settings.match,
            "n_examples": self.settings.n_examples,
            "shard": list(shard),
            "parts": {self.settings.key(part): part.path for part in everything},
        }
        _write(self.folder / "manifest.json", json.dumps(manifest, indent=1).encode())

    def load(self, part: Part) -> Coverage | None:
        try:
            return Coverage.from_bytes(self._file(part).read_bytes(), self.settings.lexicon)
        except (FileNotFoundError, CorpusError):
            return None  # not counted yet, or damaged since: count it again

    def save(self, part: Part, data: bytes) -> None:
        file = self._file(part)
        for outdated in file.parent.glob(f"{self.settings.key(part)}-*.npz"):  # of the file before it was changed
            outdated.unlink()
        _write(file, data)

    def _file(self, part: Part) -> Path:
        return self.folder / "parts" / f"{self.settings.key(part)}-{part.modified:x}.npz"


def _write(path: Path, data: bytes) -> None:
    """Write so that a reader, or a resumed run, sees all of it or nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / "manifest.json").read_bytes())
        if manifest["format"] != _FORMAT:
            raise CorpusError(f"{folder}: written by another version of vergence; audit it again")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CorpusError(f"{folder} holds no audit: {error}") from error
    return manifest  # type: ignore[no-any-return]


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:32]


def _counted(
    parts: Sequence[Part], settings: Settings, engine: Engine, store: _Store | None
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
    for part, result in _RUNNERS[engine.kind](waiting, settings, engine):
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


def _count_to_bytes(part: Part, settings: Settings) -> bytes:
    return count_part(part, settings).to_bytes()


def _run_pool(
    pool: Executor, work: Callable[[Part, Settings], Any], parts: Sequence[Part], settings: Settings, width: int
) -> Iterator[tuple[Part, Any]]:
    """Keep twice as many parts in flight as there are workers, so that results never pile up."""
    waiting = deque(parts)
    running: dict[Future[Any], Part] = {}
    try:
        while waiting or running:
            while waiting and len(running) < 2 * width:
                part = waiting.popleft()
                running[pool.submit(work, part, settings)] = part
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield running.pop(future), future.result()
    finally:
        for future in running:
            future.cancel()


def _threads(parts: Sequence[Part], settings: Settings, engine: Engine) -> Iterator[tuple[Part, Any]]:
    with ThreadPoolExecutor(engine.width) as pool:
        yield from _run_pool(pool, count_part, parts, settings, engine.width)


def _processes(parts: Sequence[Part], settings: Settings, engine: Engine) -> Iterator[tuple[Part, Any]]:
    # Spawned, not forked: Arrow and numba keep threads that do not survive a fork.
    with ProcessPoolExecutor(engine.width, mp_context=get_context("spawn")) as pool:
        yield from _run_pool(pool, _count_to_bytes, parts, settings, engine.width)


def _ray(parts: Sequence[Part], settings: Settings, engine: Engine) -> Iterator[tuple[Part, Any]]:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", extra="ray") from error
    started = not ray.is_initialized()
    if started:
        # "local" starts a cluster of its own even where an unrelated one has left its address.
        local: dict[str, Any] = {} if engine.address else {"num_cpus": engine.width, "include_dashboard": False}
        ray.init(address=engine.address or "local", log_to_driver=False, **local)
    # Counting is free of side effects, so a part whose node is lost is simply counted again.
    count = ray.remote(max_retries=-1, num_cpus=1)(_count_to_bytes)
    try:
        shared = ray.put(settings)
        waiting = deque(parts)
        running: dict[Any, Part] = {}
        width = max(2, 2 * int(ray.cluster_resources().get("CPU", 1)))  # type: ignore[no-untyped-call]
        while waiting or running:
            while waiting and len(running) < width:
                part = waiting.popleft()
                running[count.remote(part, shared)] = part
            (done,), _ = ray.wait(list(running), num_returns=1)
            try:
                result = ray.get(done)
            except ray.exceptions.RayTaskError as error:
                raise error.cause if isinstance(error.cause, CorpusError) else error from None
            yield running.pop(done), result
    finally:
        if started:
            ray.shutdown()


_RUNNERS: Mapping[str, Callable[[Sequence[Part], Settings, Engine], Iterator[tuple[Part, Any]]]] = MappingProxyType(
    {"threads": _threads, "processes": _processes, "ray": _ray}
)
