"""Curating captions, Parquet to Parquet: how many a second, all of them edited, and how much memory 20 million take.

Every caption says a colour, in frames that need mending; the page and the plan are made too. Two threads. The exactness
of the first 100,000 is checked: nothing of the colour is found after it, and the undone file is the file.
"""

import shutil
import tempfile
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
    """Omission and a redraw of 4 M captions in 8 files; omission of 20 M in 40; what is checked of 100,000."""
    tiny = {"files": 2, "rows": 2_000}
    for target in ({"omit": ["hue"]}, {"perturb": {"hue": 0.9}}):
        side = Side(
            make=curated, sizes={"files": 8, "rows": 500_000, "target": target}, small={**tiny, "target": target}
        )
        title = f"4 M captions in 8 Parquet files, {next(iter(target))}, all edited, 2 threads, end to end"
        yield Case(name=title, ours=side, repeats=1, rounds=2, items=4_000_000)
    large = Side(
        make=curated,
        sizes={"files": 40, "rows": 500_000, "target": {"omit": ["hue"]}},
        small={**tiny, "target": {"omit": ["hue"]}},
    )
    yield Case(
        name="20 M captions in 40 Parquet files, omit: peak memory", ours=large, repeats=1, rounds=1, items=20_000_000
    )
    exact = Side(make=exactness, sizes={"rows": 100_000}, small={"rows": 1_000})
    yield Case(
        name="100,000 captions: mentions left, and whether the undone file is the file", ours=exact, repeats=1, rounds=1
    )


def captions(n: int, seed: int) -> pa.Table:
    """Captions with keys; the colours of each are its own."""
    rng = np.random.default_rng(seed)
    pool = np.array([frame.format(a, b) for frame in _FRAMES for a in _HUES for b in _HUES], dtype=object)
    texts = pa.array(pool, pa.string()).take(pa.array(rng.integers(0, len(pool), n)))
    return pa.table({"key": pa.array(np.arange(n) + seed * n).cast(pa.string()), "caption": texts})


def curated(*, files: int, rows: int, target: dict[str, object]) -> Run:
    """A folder of files, curated whole."""
    folder = Path(tempfile.mkdtemp())
    for number in range(files):
        pq.write_table(captions(rows, number), folder / f"{number:03}.parquet", compression="zstd")
    order = Order(
        paths=(str(folder),),
        lexicon=_LEXICON,
        target=target_of(target, _LEXICON),
        columns=Columns(key="key"),
        seed=SEED,
    )

    def run() -> float:
        out = folder.parent / f"{folder.name}-out"
        shutil.rmtree(out, ignore_errors=True)
        done = curate(order, make_plan(order, engine=Engine(workers=2)), out, engine=Engine(workers=2))
        shutil.rmtree(out)
        return float(done.tally.counts["edited"])

    return run


def exactness(*, rows: int) -> Run:
    """Omission from captions with known mentions, and the way back."""
    folder = Path(tempfile.mkdtemp())
    path = folder / "captions.parquet"
    pq.write_table(captions(rows, 0), path, row_group_size=30_000)
    order = Order(
        paths=(str(path),), lexicon=_LEXICON, target=target_of({"omit": ["hue"]}, _LEXICON), columns=Columns(key="key")
    )

    def run() -> dict[str, float]:
        for name in ("out", "back"):
            shutil.rmtree(folder / name, ignore_errors=True)
        done = curate(order, make_plan(order), folder / "out")
        after = pq.read_table(folder / "out" / "captions" / path.name)
        undo(folder / "out", folder / "back")
        back = (folder / "back" / "captions" / path.name).read_bytes()
        return {
            "captions that mention a colour after it": float(
                len(np.unique(Matcher(_LEXICON).mentions(after["caption"]).captions))
            ),
            "captions left as they were": float(sum(done.tally.refused.values())),
            "undone file is the file": float(back == path.read_bytes()),
        }

    return run
