"""`vergence align`: how well two sets of embeddings of the same items agree."""

from jsonargparse import ArgumentParser, Namespace

DESCRIPTION = "Measure how well two embedding files align, beside what each measure would be by chance."

_NUMBERS = ("value", "null_mean", "null_std", "p_value")


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "a", metavar="A", help="embeddings: .npy, .safetensors, .parquet or a folder img_emb, with keys if known"
    )
    parser.add_argument("b", metavar="B", help="embeddings of the same items")
    parser.add_argument("--metrics", metavar="NAMES", help="measures, with commas between (default: all that apply)")
    parser.add_argument(
        "--pair-by",
        choices=("identifier", "position"),
        help="how rows pair (default: identifier where both files have one, position where neither has)",
    )
    parser.add_argument("--null", type=int, default=200, metavar="N", help="shuffles that show what chance gives")
    parser.add_argument("--out", metavar="DIR", help="folder for alignment.json and alignment.svg (default: none)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the shuffles")


def run(options: Namespace) -> None:
    """Read, pair, measure, print; write the JSON and the figure on demand."""
    from math import isfinite
    from pathlib import Path

    from vergence.files import write_json, write_text
    from vergence.metrics.files import pair_rows, read_embeddings
    from vergence.metrics.identifiers import kind_of
    from vergence.metrics.report import alignment_table
    from vergence.plots import alignment_against_chance, svg
    from vergence.random import generator
    from vergence.terminal import grid, printable, say, show

    shuffles = generator(options.seed)
    sides = [read_embeddings(Path(file)) for file in (options.a, options.b)]
    x, y, paired_by = pair_rows(*sides, by=options.pair_by)
    for side in sides:
        if further := len(side.values) - len(x):
            say(f"{side.path}: {further} further texts of the same images are not used", err=True)
    found = alignment_table(
        x,
        y,
        generator=shuffles,
        metrics=options.metrics.split(",") if options.metrics else None,
        n_shuffles=options.null,
    )
    least_p = float(found["least_p_value"].max())
    rows = [
        (name, *(f"{number:.4g}" for number in numbers), note)
        for name, *numbers, note in found[["metric", *_NUMBERS, "note"]].to_numpy().tolist()
    ]
    noted = bool(found["note"].any())
    headings = ("metric", "value", "by chance", "sd", "p", "note")[: None if noted else -1]
    title = f"{len(x)} items paired by {paired_by}; {options.null} shuffles, which show no p below {least_p:.2g}"
    show(grid(headings, [row[: len(headings)] for row in rows], title=title, left=("metric", "note")))
    kinds = [None if paired_by == "position" else kind_of(side.identifiers or ()) for side in sides]
    if paired_by == "position":
        say("Paired by position: row i of one file is taken for the same item as row i of the other.")
    elif kinds[0] != kinds[1]:
        say(f"Identifiers are {kinds[0]} in {options.a} and {kinds[1]} in {options.b}; they were compared by value.")
    if options.out is None:
        return
    out = Path(options.out)
    content = {
        "a": printable(options.a),
        "b": printable(options.b),
        "items": len(x),
        "paired_by": paired_by,
        "identifiers": kinds,
        "shuffles": options.null,
        "least_p_value": least_p,
        "seed": options.seed,
        "metrics": [
            {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in row.items()}
            for row in found.to_dict("records")
        ],
    }
    write_json(out / "alignment.json", content)
    write_text(out / "alignment.svg", svg(alignment_against_chance(found)))
    say(f"Written: {out / 'alignment.json'}, {out / 'alignment.svg'}")
