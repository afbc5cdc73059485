"""What commands that read a source of images, or use a model, have in common."""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace

if TYPE_CHECKING:
    from vergence.data.rows import Columns


def add_source_columns(parser: ArgumentParser) -> None:
    """Declare which columns of a source say what its images are and what they are called."""
    parser.add_argument("--image-column", metavar="NAME", help="column of images or their paths (default: by its name)")
    parser.add_argument(
        "--key-column", metavar="NAME", help="what images are called (default: key, id or ids; else their paths)"
    )
    parser.add_argument(
        "--images", dest="root", metavar="DIR", help="folder that paths are relative to (default: the file's own)"
    )


def source_columns(options: Namespace, *, caption: str | None, cluster: str | None = None) -> "Columns":
    """The columns that were asked for."""
    from pathlib import Path

    from vergence.data.rows import Columns

    root = None if options.root is None else Path(options.root)
    return Columns(image=options.image_column, caption=caption, key=options.key_column, cluster=cluster, root=root)


def add_model_use(parser: ArgumentParser, *, batch_size: int) -> None:
    """Declare how a model is used, and what becomes of a folder that is not empty."""
    parser.add_argument(
        "--batch-size", type=int, default=batch_size, metavar="N", help=f"items at once (default: {batch_size})"
    )
    parser.add_argument("--workers", type=int, metavar="N", help="threads that decode (default: one for each core)")
    parser.add_argument("--device", default="cpu", metavar="NAME", help="cpu, or auto for a GPU if there is one")
    parser.add_argument(
        "--dtype", default="float32", choices=["float32", "bfloat16", "float16"], help="what the model computes in"
    )
    parser.add_argument("--download", action="store_true", help="fetch a model that is no folder from the hub")
    parser.add_argument("--resume", action="store_true", help="keep what is whole in DIR and do the rest")
    parser.add_argument("--overwrite", action="store_true", help="replace what is in DIR")


def model_use(options: Namespace) -> dict[str, Any]:
    """What was asked for, as arguments of the verb."""
    import os

    from vergence.folders import when_present

    return {
        "batch_size": options.batch_size,
        "workers": (os.cpu_count() or 1) if options.workers is None else options.workers,
        "device": options.device,
        "dtype": options.dtype,
        "download": options.download,
        "present": when_present(resume=options.resume, overwrite=options.overwrite),
    }


def require(options: Namespace, **what: str) -> None:
    """Require options to be given, each with what it is.

    Raises:
        ConfigError: Naming the first that is missing.
    """
    from vergence.errors import ConfigError

    for name, meaning in what.items():
        if not options[name]:
            raise ConfigError(f"--{name} is missing; pass --{name} {meaning}")


def made_by(words: Sequence[object], packages: Iterable[str]) -> dict[str, object]:
    """The command, versions and date, for what a folder says of how it was made.

    Args:
        words: Of the command line.
        packages: Whose versions count; those that are not installed are left out.
    """
    import platform
    import shlex
    from datetime import UTC, datetime
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for name in packages:
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    return {
        "command": shlex.join(map(str, words)),
        "versions": versions,
        "date": datetime.now(UTC).date().isoformat(),
    }
