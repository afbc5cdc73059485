"""`vergence corpus`: a corpus of real images with what people said of them."""

from jsonargparse import ArgumentParser, Namespace

from vergence.cli.options import made_by
from vergence.errors import ConfigError

DESCRIPTION = "Build a corpus of real drawings: those that come with the package, or thousands that people titled."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "corpus",
        choices=["drawings", "openclipart"],
        help="drawings: the 3,372 of the package, with captions of a kind; openclipart: 8,121 in the public domain",
    )
    parser.add_argument("--out", metavar="DIR", help="folder for CORPUS.parquet and CORPUS.json")
    parser.add_argument(
        "--captions", metavar="KIND", help="of drawings: labels, faithful, omit or perturb (default: labels)"
    )
    parser.add_argument("--seed", type=int, metavar="N", help="of drawings, of their captions (default: 0)")
    parser.add_argument("--side", type=int, metavar="PIXELS", help="of openclipart, of the images (default: 128)")
    parser.add_argument(
        "--package", metavar="FILE", help="own copy of openclipart-svg.deb (default: fetched once with apt-get)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="of openclipart, processes (default: one a core)")
    parser.add_argument("--resume", action="store_true", help="keep what is drawn in DIR, do the rest")
    parser.add_argument("--overwrite", action="store_true", help="replace the corpus in DIR")


_OF: dict[str, tuple[str, ...]] = {"drawings": ("captions", "seed"), "openclipart": ("side", "package", "workers")}


def run(options: Namespace) -> None:
    """Build the corpus; say what is in it, what is not, and what can be done next."""
    if not options.out:
        name = options.corpus
        raise ConfigError(f"--out is missing; pass --out DIR, the folder for {name}.parquet and {name}.json")
    for corpus, own in _OF.items():
        given = [name for name in own if corpus != options.corpus and options[name] is not None]
        if given:
            raise ConfigError(f"--{given[0]} is an option of vergence corpus {corpus}; leave it out")
    (_drawings if options.corpus == "drawings" else _openclipart)(options)


def _drawings(options: Namespace) -> None:
    from pathlib import Path

    from vergence.corpus.drawings import CORPUS, LEXICON, build_drawings
    from vergence.folders import when_present
    from vergence.terminal import say

    out = Path(options.out)
    captions, seed = options.captions or "labels", options.seed or 0
    words = ["vergence", "corpus", "drawings", "--captions", captions, "--seed", seed, "--out", options.out]
    card = build_drawings(
        out,
        captions=captions,
        seed=seed,
        present=when_present(resume=options.resume, overwrite=options.overwrite),
        about=made_by(words, ("pillow", "pyarrow", "torch")),
    )
    table, lexicon = out / CORPUS, out / LEXICON
    say(
        f"{card['rows']:,} drawings of 64 x 64 pixels: {table}",
        f"captions: {card['captions_are']}",
        f"see what they teach with: vergence audit {table} --lexicon {lexicon} --labels {table}",
    )


def _openclipart(options: Namespace) -> None:
    import os
    from pathlib import Path

    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from vergence.data.openclipart import CARD, CORPUS, build_openclipart
    from vergence.folders import when_present
    from vergence.svg import require_drawing
    from vergence.terminal import bars, say

    require_drawing()
    out = Path(options.out)
    side = 128 if options.side is None else options.side
    with bars(MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        bar = shown.add_task(options.corpus, total=None)
        card = build_openclipart(
            out,
            side=side,
            package=Path(options.package) if options.package else None,
            workers=(os.cpu_count() or 1) if options.workers is None else options.workers,
            present=when_present(resume=options.resume, overwrite=options.overwrite),
            about=_made_by(options, side),
            progress=lambda done, total: shown.update(bar, completed=done, total=total),
        )
    left_out = {reason: len(keys) for reason, keys in card["left_out"].items()}
    say(
        f"{card['rows']:,} drawings of {card['side']} x {card['side']} pixels: {out / CORPUS}",
        *(f"left out: {count:,}, {reason}" for reason, count in left_out.items()),
        *(["the package is another edition than the documented one"] if not card["known"] else []),
        f"what they are like, and what is left out: {out / CARD}",
        f"see what their titles teach with: vergence audit {out / CORPUS}",
    )


def _made_by(options: Namespace, side: int) -> dict[str, object]:
    """The command, versions and date."""
    words = ["vergence", "corpus", "openclipart", "--side", side]
    words += ["--package", options.package] if options.package else []
    return made_by([*words, "--out", options.out], ("matplotlib", "pillow", "pyarrow", "resvg-py"))
