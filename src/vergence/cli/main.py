"""`vergence`: one sub-command for each job.

A mistake of the user's is one line on standard error and exit code 2. What a command needs is imported when it runs, so
that `vergence --help` answers at once.
"""

import argparse
import errno
import shlex
import sys
import traceback
from collections.abc import Sequence
from types import MappingProxyType
from typing import NoReturn

from jsonargparse import ArgumentParser

from vergence import __version__
from vergence.cli import (
    adapt,
    align,
    audit,
    awareness,
    caption,
    captioner,
    compare,
    concepts,
    corpus,
    curate,
    demo,
    embed,
    label,
    lexicon,
    model,
    probe,
    render,
    spectrum,
    study,
    train,
)
from vergence.errors import VergenceError
from vergence.terminal import abandon, flush, plain_warnings, say

_COMMANDS = MappingProxyType(
    {
        "demo": demo,
        "render": render,
        "corpus": corpus,
        "model": model,
        "train": train,
        "adapt": adapt,
        "captioner": captioner,
        "caption": caption,
        "embed": embed,
        "label": label,
        "audit": audit,
        "concepts": concepts,
        "curate": curate,
        "awareness": awareness,
        "compare": compare,
        "lexicon": lexicon,
        "align": align,
        "spectrum": spectrum,
        "probe": probe,
        "study": study,
    }
)
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # a disk, a share of it, a file


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What follows the program's name; that of this process if `None`.

    Returns:
        Exit code: 0; 1 if what was asked for is not met; 2 for a mistake of the user's; 70 for one of ours, with its
        traceback; 130 if interrupted.
    """
    plain_warnings()
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments))
    except VergenceError as error:
        return _refused(str(error))
    except KeyboardInterrupt:
        say("vergence: interrupted", err=True)
        return 130
    except BrokenPipeError:  # whoever read the output has heard enough, as `head` does
        abandon()
        return 141
    except Exception as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # torch has no type for it
            return _refused("not enough memory for this; use less data, or smaller sizes")
        if isinstance(error, OSError) and error.errno in _FULL:
            return _refused(f"cannot write{f' {error.filename}' if error.filename else ''}: {error.strerror}")
        say(*traceback.format_exc().splitlines(), err=True)
        say("vergence: this is a mistake of vergence, not of yours; please report it with the lines above", err=True)
        return 70


def _run(given: list[str]) -> int:
    try:
        options = _parser(given).parse_args(given)
        chosen = options[options.command]
        chosen.typed = _typed(given)
        return int(_COMMANDS[options.command].run(chosen) or 0)
    finally:
        flush()  # what the output does not take is said while it can be


def _typed(given: Sequence[str]) -> str:
    """The command as result files have it: the same for a job that was stopped and gone on with, wherever it lies.

    Example:
        >>> _typed(["compare", "a", "b", "--out", "here", "--resume"])
        'vergence compare a b --out DIR'
    """
    words = [word for word in given if word not in {"--resume", "--overwrite"}]
    for at in range(len(words)):
        if words[at].startswith("--out="):
            words[at] = "--out=DIR"
        elif at and words[at - 1] == "--out":
            words[at] = "DIR"
    return shlex.join(["vergence", *words])


def _refused(message: str) -> int:
    say(f"vergence: error: {message}", err=True)
    return 2


class _Parser(ArgumentParser):
    """A parser whose complaint is one line."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        one_line = " ".join(message.split()).rstrip(".")
        say(f"vergence: error: {one_line}. For what is accepted: {self.prog} --help", err=True)
        sys.exit(2)


def _parser(given: Sequence[str]) -> ArgumentParser:
    parser = _Parser(
        prog="vergence",
        description="Say what an image-text model will learn, miss and ignore; measure it; change it on purpose.",
        version=__version__,
        allow_abbrev=False,
        formatter_class=argparse.HelpFormatter,  # options say their defaults themselves
    )
    commands = parser.add_subcommands(dest="command", title="commands")
    for name, command in _COMMANDS.items():
        options = _Parser(description=command.DESCRIPTION, allow_abbrev=False, formatter_class=argparse.HelpFormatter)
        command.add_options(options)
        if name in given[:1] and hasattr(
            command, "add_settings"
        ):  # its settings are known to what takes time to import
            command.add_settings(options)
        commands.add_subcommand(name, options, help=command.DESCRIPTION)
    return parser
