"""`vergence label`: what images show, without anybody who labels them, for `vergence audit --labels`."""

from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser, Namespace

from vergence.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

DESCRIPTION = "Label images by what their pixels state (colour, lightness, format), for audit --labels and probe."


def add_options(parser: ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source", metavar="SOURCE", help="a CSV of paths and captions, a folder, COCO annotations, tar shards, Parquet"
    )
    parser.add_argument(
        "--pixels", metavar="FACTORS",
        help="any of color,lightness,chroma,aspect,transparency, with commas between (default: all)",
    )  # fmt: skip
    parser.add_argument("--out", metavar="DIR", help="folder for labels.parquet, lexicon.yaml and errors.json")
    parser.add_argument("--image-column", metavar="NAME", help="column of images or their paths (default: by its name)")
    parser.add_argument("--caption-column", metavar="NAME", help="column of captions (default: by its name)")
    parser.add_argument(
        "--key-column", metavar="NAME", help="what images are called (default: key, id or ids; else their paths)"
    )
    parser.add_argument("--images", metavar="DIR", help="folder that paths are relative to (default: the file's own)")
    parser.add_argument("--workers", type=int, metavar="N", help="threads (default: one for each core)")
    parser.add_argument("--resume", action="store_true", help="keep the labels in DIR if they are whole")
    parser.add_argument("--overwrite", action="store_true", help="replace the labels in DIR")


def run(options: Namespace) -> None:
    """Label, and say how many images have which label, what was left out, and what can be done next."""
    import os
    from pathlib import Path

    from rich.progress import MofNCompleteColumn, TimeRemainingColumn

    from vergence.data.labelling import label_source
    from vergence.data.pixels import PIXEL_FACTORS
    from vergence.data.rows import Columns
    from vergence.folders import when_present
    from vergence.terminal import bars, say

    if not options.out:
        raise ConfigError("--out is missing; pass --out DIR, the folder for labels")
    chosen = list(PIXEL_FACTORS) if options.pixels is None else [name.strip() for name in options.pixels.split(",")]
    out = Path(options.out)
    with bars(MofNCompleteColumn(), TimeRemainingColumn()) as shown:
        bar = shown.add_task("images", total=None)
        done = label_source(
            options.source,
            chosen,
            out=out,
            columns=Columns(
                image=options.image_column,
                caption=options.caption_column,
                key=options.key_column,
                root=None if options.images is None else Path(options.images),
            ),
            workers=(os.cpu_count() or 1) if options.workers is None else options.workers,
            present=when_present(resume=options.resume, overwrite=options.overwrite),
            about=_made_by(options, chosen),
            progress=lambda images, of: shown.update(bar, completed=images, total=of),
        )
    say(*(f"passed over: {note}" for note in done.notes), err=True)
    if done.left_out:
        counts = ", ".join(f"{reason} ({count})" for reason, count in done.left_out.items())
        say(f"left out: {sum(done.left_out.values()):,} rows: {counts}", *(f"  {row}" for row in done.rows), err=True)
    for name, values in done.values.items():
        counts = ", ".join(f"{value} {count:,}" for value, count in values.items() if count)
        none = ", ".join(f"{count:,} ({reason})" for reason, count in done.unlabelled[name].items())
        say(f"{name}: {counts or 'no label'}" + (f"; without a label {none}" if none else ""))
    say(
        f"{done.images:,} images, {done.captions:,} captions: {out / 'labels.parquet'}",
        f"what captions say of it: {_next(out)}",
    )


def _next(out: "Path") -> str:
    """The command that reads the labels."""
    import shlex

    from vergence.data.labelling import ERRORS, LABELS, LEXICON

    words = ["vergence", "audit", out / LABELS, "--labels", out / LABELS, "--lexicon", out / LEXICON]
    words += ["--detector-errors", out / ERRORS] if (out / ERRORS).is_file() else []
    return shlex.join(map(str, words))


def _made_by(options: Namespace, chosen: list[str]) -> dict[str, object]:
    """The command, versions and date."""
    import platform
    import shlex
    from datetime import UTC, datetime
    from importlib.metadata import version
    from importlib.util import find_spec

    words = ["vergence", "label", options.source, "--pixels", ",".join(chosen)]
    for flag in ("image_column", "caption_column", "key_column", "images"):
        words += [f"--{flag.replace('_', '-')}", options[flag]] if options[flag] is not None else []
    packages = ("vergence", "numpy", "pillow", *(("scikit-image",) if find_spec("skimage") else ()))
    return {
        "command": shlex.join(map(str, [*words, "--out", options.out])),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in packages}},
        "date": datetime.now(UTC).date().isoformat(),
    }
