"""`vergence corpus`: a corpus of real images with what people said of them, made of a public package."""

from jsonargparse import ArgumentParser, Namespace

from vergence.errors import ConfigError

DESCRIPTION = "Build a corpus of real drawings with the titles and keywords that people gave them, from a package."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("corpus", choices=["openclipart"], help="openclipart: 8,121 drawings in the public domain")
    parser.add_argument("--out", metavar="DIR", help="folder for openclipart.parquet and openclipart.json")
    parser.add_argument("--side", type=int, default=128, metavar="PIXELS", help="of the images (default: 128)")
    parser.add_argument(
        "--package", metavar="FILE", help="own copy of openclipart-svg.deb (default: fetched once with apt-get)"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="processes (default: one for each core)")
    parser.add_argument("--resume", action="store_true", help="keep what is drawn in DIR, do the rest")
    parser.add_argument("--overwrite", action="store_true", help="replace the corpus in DIR")


def run(options: Namespace) -> None:
    """Build the corpus; say what is in it, what is not, and what can be done next."""
    import os
    from pathlib import Path

    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from vergence.data.openclipart import CARD, CORPUS, build_openclipart
    from vergence.folders import when_present
    from vergence.svg import require_drawing
    from vergence.terminal import bars, say

    if not options.out:
        raise ConfigError(f"--out is missing; pass --out DIR, the folder for {CORPUS} and {CARD}")
    require_drawing()
    out = Path(options.out)
    with bars(MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        bar = shown.add_task(options.corpus, total=None)
        card = build_openclipart(
            out,
            side=options.side,
            package=Path(options.package) if options.package else None,
            workers=(os.cpu_count() or 1) if options.workers is None else options.workers,
            present=when_present(resume=options.resume, overwrite=options.overwrite),
            about=_made_by(options),
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


def _made_by(options: Namespace) -> dict[str, object]:
    """The command, versions and date."""
    import platform
    import shlex
    from datetime import UTC, datetime
    from importlib.metadata import version

    words = ["vergence", "corpus", options.corpus, "--side", str(options.side)]
    words += ["--package", options.package] if options.package else []
    packages = ("matplotlib", "pillow", "pyarrow", "resvg-py")
    return {
        "command": shlex.join([*words, "--out", options.out]),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "date": datetime.now(UTC).date().isoformat(),
    }
