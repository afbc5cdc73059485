"""`vergence align`: how well two sets of embeddings of the same items agree."""

from jsonargparse import ArgumentParser, Namespace

DESCRIPTION = "Measure how well two embedding files align, beside what each measure would be by chance."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("a", metavar="A", help="embeddings: .npy, .safetensors or .parquet, with a key or id if known")
    parser.add_argument("b", metavar="B", help="embeddings of the same items")
    parser.add_argument("--metrics", metavar="NAMES", help="measures, with commas between (default: all that apply)")
    parser.add_argument("--null", type=int, default=200, metavar="N", help="shuffles that show what chance gives")
    parser.add_argument("--out", metavar="DIR", help="folder for alignment.json and alignment.svg (default: none)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the shuffles")


def run(options: Namespace) -> None:
    """Read, pair, measure, print; write the JSON and the figure on demand."""
    import json
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table

    from vergence.errors import ConfigError
    from vergence.metrics.files import pair_rows, read_embeddings
    from vergence.metrics.report import alignment_table
    from vergence.plots import alignment_against_chance, svg
    from vergence.random import generator

    x, y, paired_by = pair_rows(*(read_embeddings(Path(file)) for file in (options.a, options.b)))
    found = alignment_table(
        x,
        y,
        generator=generator(options.seed),
        metrics=options.metrics.split(",") if options.metrics else None,
        n_shuffles=options.null,
    )
    shown = Table(title=f"{len(x)} items paired by {paired_by}; chance from {options.null} shuffles")
    for heading in ("metric", "value", "by chance", "sd", "p"):
        shown.add_column(heading, justify="left" if heading == "metric" else "right")
    for name, *numbers in found[["metric", "value", "null_mean", "null_std", "p_value"]].to_numpy().tolist():
        shown.add_row(name, *(f"{number:.4g}" for number in numbers))
    Console(highlight=False).print(shown)
    if options.out is None:
        return
    out = Path(options.out)
    content = {
        "a": options.a,
        "b": options.b,
        "items": len(x),
        "paired_by": paired_by,
        "shuffles": options.null,
        "seed": options.seed,
        "metrics": found.to_dict("records"),
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        (out / "alignment.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        (out / "alignment.svg").write_text(svg(alignment_against_chance(found)), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot write to {out}: {error.strerror}; choose another folder with --out") from error
    print(f"Written: {out / 'alignment.json'}, {out / 'alignment.svg'}")
