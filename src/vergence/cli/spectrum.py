"""`vergence spectrum`: along how many directions two sets of embeddings agree, how strongly, and about what."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from vergence.metrics import CanonicalSpectrum, EncodingSize
    from vergence.metrics.files import Paired

DESCRIPTION = "Show along how many directions two embedding files agree, how strongly, and what each speaks of."

_LEVEL, _EXACT = 0.95, 1e-3
_LISTED, _WORDS = 12, 3  # directions in the table, concepts of each


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("a", metavar="A", help="embeddings of images: .npy, .safetensors, .parquet or a folder img_emb")
    parser.add_argument("b", metavar="B", help="embeddings of the texts of the same items")
    parser.add_argument("--labels", metavar="FILE", help="Parquet, .csv or .tsv: a column for each factor of the items")
    parser.add_argument("--factors", metavar="NAMES", help="columns to use, with commas between (default: all)")
    parser.add_argument(
        "--pair-by", metavar="HOW", help="identifier or position (default: identifier, if there is one)"
    )
    parser.add_argument("--encoding-size", type=int, metavar="N", help="say what a model of N outputs would keep")
    parser.add_argument("--bottleneck", type=float, metavar="BETA", help="weight of an alignment penalty, for the same")
    parser.add_argument("--temperature", type=float, metavar="TAU", help="of the logits -|a - b|^2 / tau, for the same")
    parser.add_argument("--null", type=int, default=200, metavar="N", help="shuffles that show chance (default: 200)")
    parser.add_argument("--out", metavar="DIR", help="folder for spectrum.json and spectrum.svg (default: none)")
    parser.add_argument("--seed", type=int, default=0, help="seed of halves and shuffles (default: 0)")


@dataclass(frozen=True, kw_only=True, eq=False)
class _Reading:
    """All that is said of two files."""

    spectrum: "CanonicalSpectrum"
    size: "EncodingSize"
    gap: tuple[int, float, float] | None  # how many of their own come before it, strengths beside it
    concepts: dict[int, list[tuple[str, float]]]  # of each direction, the factors that it correlates with above chance
    kept: "pd.DataFrame | None"
    threshold: float | None
    paired_by: str
    notes: list[str]


def run(options: Namespace) -> None:
    """Read, pair, correlate, print; write the JSON and the figure on demand."""
    from pathlib import Path

    from vergence.terminal import say

    sigma = _checked(options)
    reading = _read(options, sigma)
    _print(options, reading)
    say(*reading.notes, err=True)
    if options.out is not None:
        out = Path(options.out)
        _write(out, options, reading)
        say(f"Written: {out / 'spectrum.json'}, {out / 'spectrum.svg'}")


def _checked(options: Namespace) -> float | None:
    """Refuse what cannot be meant before any file is read; the threshold of the bottleneck, if there is one."""
    from vergence.checks import at_least
    from vergence.errors import ConfigError
    from vergence.theory import threshold

    if options.bottleneck is not None and options.temperature is None:
        raise ConfigError("--bottleneck needs --temperature: what it removes depends on their product")
    if options.factors is not None and options.labels is None:
        raise ConfigError("--factors needs --labels, the file that has these columns")
    if options.encoding_size is not None:
        at_least("--encoding-size", options.encoding_size, 1)
    at_least("--null", options.null, 100, why="fewer do not show what one in a hundred exceeds")
    return None if options.temperature is None else threshold(options.bottleneck or 0.0, options.temperature)


def _read(options: Namespace, sigma: float | None) -> _Reading:
    from pathlib import Path

    from vergence.errors import ConfigError
    from vergence.metrics import concepts_of
    from vergence.metrics.canonical import spectrum_of_rows
    from vergence.metrics.files import pair, read_embeddings
    from vergence.metrics.size import read_size
    from vergence.probes.labels import read_labels
    from vergence.random import named

    sides = [read_embeddings(Path(file), mapped=True) for file in (options.a, options.b)]
    paired = pair(*sides, by=options.pair_by)
    labels = None
    if options.labels is not None:
        factors = None if options.factors is None else options.factors.split(",")
        labels = read_labels(Path(options.labels), paired.x, factors=factors, pair_by=options.pair_by)
    clusters, notes = _clusters(paired)
    for side, used in zip(sides, (paired.x, paired.y), strict=True):
        if further := len(side.values) - len(used.values):
            notes.append(f"{side.path}: {further} further texts of the same images are not used")
    found = spectrum_of_rows(
        paired.x.rows(),
        paired.y.rows(paired.order),
        clusters,
        generator=named(options.seed, "halves"),
        n_shuffles=options.null,
        level=_LEVEL,
    )
    if not found.strengths:
        raise ConfigError("no direction varies on both sides: all rows of one file are equal")
    concepts: dict[int, list[tuple[str, float]]] = {}
    if labels is not None:
        table = concepts_of(found, labels.values, labels.space, generator=named(options.seed, "labels"))
        for place, factor, ratio in table.loc[table["ratio"] > table["chance"], table.columns[:3]].to_numpy().tolist():
            concepts.setdefault(place, []).append((factor, ratio))
        notes += [*labels.notes, *(f"not used: column {name!r} {why}" for name, why in labels.left_out.items())]
    size = read_size(found, generator=named(options.seed, "size"), tolerance=None)
    return _Reading(
        spectrum=found,
        size=size,
        gap=_gap(size),
        concepts=concepts,
        kept=None if options.encoding_size is None and sigma is None else _kept(found, options),
        threshold=sigma,
        paired_by=paired.how,
        notes=notes,
    )


def _clusters(paired: "Paired") -> tuple[Any, list[str]]:
    """Which pairs are of one image, where a file says so or A repeats rows; and what to say about that."""
    import torch

    from vergence.data.clusters import link
    from vergence.metrics.rows import equal_rows

    if paired.x.images is not None:
        return torch.from_numpy(link(paired.x.images)), ["texts of one image count as one draw"]
    rows = equal_rows(paired.x.rows())
    distinct = int(rows.max()) + 1
    if distinct == len(rows):
        return None, []
    note = f"{paired.x.path} holds {distinct} different rows of {len(rows)}: pairs with equal ones count as one draw"
    return torch.from_numpy(rows), [note]


def _gap(size: "EncodingSize") -> tuple[int, float, float] | None:
    import torch

    from vergence.metrics.size import GAP, widest_gap

    strengths = sorted((size.correlations[place] for place in size.own), reverse=True)
    if len(strengths) < 2:
        return None
    before, times = map(float, widest_gap(torch.tensor(strengths, dtype=torch.float64)))
    return (int(before), strengths[int(before) - 1], strengths[int(before)]) if times >= GAP else None


def _kept(found: "CanonicalSpectrum", options: Namespace) -> "pd.DataFrame":
    """What outputs of the size and the bottleneck asked for would hold of the directions above chance."""
    import pandas as pd

    from vergence.theory import kept

    strengths = [min(1.0, one.value) if one.value > found.chance else 0.0 for one in found.strengths]
    table = pd.DataFrame(
        {
            "factors": [(f"direction {place + 1}",) for place in range(len(strengths))],
            "order": 1,
            "strength": strengths,
            "multiplicity": 1,
        }
    )
    return kept(
        table,
        encoding_size=options.encoding_size or len(strengths),
        bottleneck=options.bottleneck or 0.0,
        temperature=options.temperature or 1.0,
    )


def _print(options: Namespace, reading: _Reading) -> None:
    from vergence.terminal import grid, say, show

    found, size = reading.spectrum, reading.size
    above, total, rows = found.above_chance, len(found.strengths), []
    listed = min(_LISTED, above + 1)  # the next one shows what chance looks like
    for place, one in enumerate(found.strengths[:listed]):
        said = ", ".join(f"{name} {ratio:.2f}" for name, ratio in reading.concepts.get(place, [])[:_WORDS])
        if one.value <= found.chance:
            said = "not above chance"
        elif place not in size.own:
            said = f"{said}; follows from others".removeprefix("; ")
        rows.append((place + 1, f"{max(0.0, one.value):.3f}", f"[{max(0.0, one.low):.3f}, {one.high:.3f}]", said))
    items = (
        f"{found.pairs} items" if found.clusters == found.pairs else f"{found.pairs} pairs of {found.clusters} items"
    )
    say(f"{items} paired by {reading.paired_by}; correlations on pairs not fitted on")
    headings = ("direction", "strength", "95 % interval", "speaks of" if options.labels is not None else "")
    show(grid(headings, rows, left=headings[3:]))
    if total > listed:
        further = f", {above - listed} of them above chance" if above > listed else ""
        say(f"... and {total - listed} more directions{further}")
    reach_one = sum(strength.high >= 1 - _EXACT for strength in found.strengths[:above])
    say(
        f"Above chance: {above} of {total} directions; chance reaches {found.chance:.3f}.",
        f"Compatible with 1: {reach_one}, whose intervals reach {1 - _EXACT}.",
        f"Of their own: {size.shared}, which do not follow from others.",
    )
    if reading.gap is not None:
        say("Between these is a gap: after the first {}, from {:.3f} to {:.3f}.".format(*reading.gap))
    if reading.kept is not None:
        _say_kept(options, reading.kept)


def _say_kept(options: Namespace, kept: "pd.DataFrame") -> None:
    from vergence.terminal import say

    model = "A model" if options.encoding_size is None else f"A model of {options.encoding_size} outputs"
    if options.bottleneck is not None:
        passing = int((kept["strength"] > kept.attrs["threshold"]).sum())
        say(f"Above sigma* = {kept.attrs['threshold']:.3f}: {passing} directions, which the bottleneck leaves.")
    held = kept[kept["kept"] > 0]
    say(
        f"{model} would keep {held['kept'].sum():g} directions"
        + (f", of strength {held['strength'].min():.3f} and more." if len(held) else ".")
    )


def _write(out: "Path", options: Namespace, reading: _Reading) -> None:
    import pandas as pd

    from vergence.files import write_json, write_text
    from vergence.plots import directions_by_strength, svg

    found, size, kept = reading.spectrum, reading.size, reading.kept
    shown = [{name: min(1.0, max(0.0, value)) for name, value in one._asdict().items()} for one in found.strengths]
    words = [reading.concepts.get(place, []) for place in range(len(shown))]
    content: dict[str, Any] = {
        "strengths": shown,
        "null": {"chance": found.chance, "level": 0.99, "shuffles": options.null, "above": found.above_chance},
        "interval_level": _LEVEL,
        "concepts": [[{"factor": name, "correlation": ratio} for name, ratio in of] for of in words],
        "encoding_size": {
            "shared": size.shared,
            "shared_interval": [int(limit) for limit in size.shared_interval],
            "of_their_own": [place + 1 for place in size.own],
            "before_the_gap": None if reading.gap is None else reading.gap[0],
        },
        "threshold": reading.threshold,
        "kept": None if kept is None else [float(one) for one in kept["kept"]],
    }
    write_json(out / "spectrum.json", content | _provenance(options, reading))
    table = pd.DataFrame(shown).assign(concepts=[of[0][0] if of else "" for of in words])
    line = reading.threshold if options.bottleneck is not None else None
    write_text(out / "spectrum.svg", svg(directions_by_strength(table, chance=found.chance, threshold=line)))


def _provenance(options: Namespace, reading: _Reading) -> dict[str, Any]:
    import platform
    from importlib.metadata import version

    from vergence import __version__
    from vergence.terminal import printable

    names = ("a", "b", "labels", "factors", "pair_by", "encoding_size", "bottleneck", "temperature", "null", "seed")
    given = {name: options[name] for name in names}
    return {
        "command": "vergence spectrum",
        "options": {name: printable(one) if isinstance(one, str) else one for name, one in given.items()},
        "versions": {
            "vergence": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numpy", "scipy")},
        },
        "seed": options.seed,
        "items": reading.spectrum.pairs,
        "draws": reading.spectrum.clusters,
        "dimensions": list(reading.spectrum.ranks),
        "paired_by": reading.paired_by,
        "notes": [printable(one) for one in reading.notes],
    }
