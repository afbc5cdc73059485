"""Curating captions, Parquet to Parquet: how many a second, all of them edited, and how much memory 20 million take.

Every caption says a colour, in frames that need mending; the plan is made too, and two threads do it. Seconds of the
processor stand beside those of the clock, which other work on the machine lengthens. Of 100,000 captions it is checked
that nothing of the colour is found after it, that nothing changed outside of the logged spans, and that the undone file
is the file.
"""

import resource
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measure import Case, Run, Side
from vergence.corpus import Concept, Group, Lexicon, Matcher
from vergence.curation import Columns, Order, curate, make_plan, target_of, undo
from vergence.engines import Engine

PACKAGES = ("pyarrow", "numba", "numpy")
SEED = 0
_HUES = ("red", "blue", "green", "orange", "white", "black", "yellow", "purple")
_LEXICON = Lexicon("hues", (Group("hue", tuple(Concept(hue) for hue in _HUES)),))
_FRAMES = (
    "an old {0} cup stands on the table of a small kitchen",
    "a {0} apple and a {1} umbrella beside the window",
    "a woman dressed in {0} and {1} walks along the beach",
    "a ball, {0} and shiny, in front of two children",
    "The door of the house is {0}, and nobody is there.",
    "{0} and {1} flowers in a vase near an open book",
)


def cases() -> Iterator[Case]:
    """Omission and a redraw of 4 M captions in 8 files; what is checked of 100,000; omission of 20 M in 40."""
    tiny = {"files": 2, "rows": 2_000}
    for target in ({"omit": ["hue"]}, {"perturb": {"hue": 0.9}}):
        side = Side(
            make=curated, sizes={"files": 8, "rows": 500_000, "target": target}, small={**tiny, "target": target}
        )
        title = f"4 M captions in 8 Parquet files, {next(iter(target))}, 2 threads, end to end"
        yield Case(name=title, ours=side, repeats=1, rounds=2, items=4_000_000)
    exact = Side(make=exactness, sizes={"rows": 100_000}, small={"rows": 1_000})
    yield Case(
        name="100,000 captions: mentions left, and whether the undone file is the file", ours=exact, repeats=1, rounds=1
    )
    large = Side(
        make=curated,
        sizes={"files": 40, "rows": 500_000, "target": {"omit": ["hue"]}},
        small={**tiny, "target": {"omit": ["hue"]}},
    )
    yield Case(
        name="20 M captions in 40 Parquet files, omit: peak memory", ours=large, repeats=1, rounds=1, items=20_000_000
    )


def captions(n: int, seed: int) -> pa.Table:
    """Captions with keys; the colours of each are its own."""
    rng = np.random.default_rng(seed)
    pool = np.array([frame.format(a, b) for frame in _FRAMES for a in _HUES for b in _HUES], dtype=object)
    texts = pa.array(pool, pa.string()).take(pa.array(rng.integers(0, len(pool), n)))
    return pa.table({"key": pa.array(np.arange(n) + seed * n).cast(pa.string()), "caption": texts})


def curated(*, files: int, rows: int, target: dict[str, object]) -> Run:
    """A folder of files, curated whole."""
    held = tempfile.TemporaryDirectory()
    folder = Path(held.name) / "in"
    folder.mkdir()
    for number in range(files):
        pq.write_table(captions(rows, number), folder / f"{number:03}.parquet", compression="zstd")
    order = Order(
        paths=(str(folder),),
        lexicon=_LEXICON,
        target=target_of(target, _LEXICON),
        columns=Columns(key="key"),
        seed=SEED,
    )

    def run() -> dict[str, float]:
        out = Path(held.name) / "out"
        start = time.process_time()
        done = curate(order, make_plan(order, engine=Engine(workers=2)), out, engine=Engine(workers=2))
        seconds = time.process_time() - start
        shutil.rmtree(out)
        counts = done.tally.counts
        return {
            "captions edited": counts["edited"],
            "seconds of the processor": round(seconds, 2),
            "captions per second of the processor": round(counts["captions"] / seconds),
            "resident memory at its peak, imports included, in MB": round(
                resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3
            ),
        }

    return run


def exactness(*, rows: int) -> Run:
    """Omission from captions with known mentions, and the way back."""
    held = tempfile.TemporaryDirectory()
    folder = Path(held.name)
    path = folder / "captions.parquet"
    pq.write_table(captions(rows, 0), path, row_group_size=30_000)
    order = Order(
        paths=(str(path),), lexicon=_LEXICON, target=target_of({"omit": ["hue"]}, _LEXICON), columns=Columns(key="key")
    )

    def run() -> dict[str, float]:
        folder = Path(held.name)
        done = curate(order, make_plan(order), folder / "out")
        after = pq.read_table(folder / "out" / "captions" / path.name)
        undo(folder / "out", folder / "back")
        back = (folder / "back" / "captions" / path.name).read_bytes()
        return {
            "captions that mention a colour after it": float(
                len(np.unique(Matcher(_LEXICON).mentions(after["caption"]).captions))
            ),
            "captions that differ outside of logged spans": float(_strangers(path, folder / "out")),
            "captions left as they were": float(sum(done.tally.refused.values())),
            "undone file is the file": float(back == path.read_bytes()),
        }

    return run


def _strangers(path: Path, out: Path) -> int:
    """Captions that do not follow from what they were and their edits alone."""
    edits: dict[int, list[tuple[int, int, str, str]]] = {}
    columns = [pq.read_table(out / "edits.parquet")[name].to_pylist() for name in ("row", "start", "end", "old", "new")]
    for row, *edit in zip(*columns, strict=True):
        edits.setdefault(row, []).append((edit[0], edit[1], edit[2], edit[3]))
    strangers = 0
    pairs = zip(
        *(pq.read_table(one)["caption"].to_pylist() for one in (path, out / "captions" / path.name)), strict=True
    )
    for row, (before, after) in enumerate(pairs, 1):
        pieces, reached = [], 0
        for start, end, old, new in edits.get(row, []):
            strangers += before[start:end] != old
            pieces += [before[reached:start], new]
            reached = end
        strangers += "".join([*pieces, before[reached:]]) != after
    return strangers
