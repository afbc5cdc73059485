"""One look for all figures: a palette that colour-blind readers can tell apart, one typeface, SVG that never changes.

The typeface is the one that comes with matplotlib, so that a figure has one layout on every machine. Text stays text.
"""

import io
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from vergence.terminal import printable

INK, MUTED, RULE, PAPER = "#1f2328", "#656d76", "#d5dae0", "#ffffff"
SHADE = "#eceff3"  # where theory is silent

# Okabe and Ito's palette without its yellow and black, which fade into paper and ink.
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
MARKERS = ("o", "s", "^", "v", "P", "X")

_POLICY_ORDER = ("faithful", "omit", "labels", "perturb")
_STYLE = MappingProxyType(
    {
        "axes.edgecolor": MUTED,
        "axes.labelcolor": MUTED,
        "axes.spines.right": False,
        "axes.spines.top": False,
        "axes.titlecolor": INK,
        "axes.titlelocation": "left",
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "figure.facecolor": PAPER,
        "font.family": "DejaVu Sans",
        "font.size": 8.5,
        "hatch.color": RULE,
        "hatch.linewidth": 0.6,
        "savefig.facecolor": PAPER,
        "text.color": INK,
        "text.parse_math": False,  # names come from data: a dollar sign is a dollar sign
        "xtick.color": MUTED,
        "ytick.color": INK,
    }
)


@contextmanager
def styled() -> Iterator[None]:
    """Draw inside in the library's look, and leave matplotlib's settings as they were."""
    with mpl.rc_context({str(key): value for key, value in _STYLE.items()}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # text stays text: the reader's fonts have it
        yield


def looks(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Give each name a colour and a marker; the four demo policies always get the same ones.

    Args:
        names: What is to be told apart, such as policies; beyond six, colours come again with other markers.

    Returns:
        Hexadecimal colour and matplotlib marker by name.

    Example:
        >>> looks(["omit", "mine"])
        {'omit': ('#d55e00', 's'), 'mine': ('#56b4e9', 'P')}
    """
    others = [name for name in dict.fromkeys(names) if name not in _POLICY_ORDER]
    order = [*_POLICY_ORDER, *others]
    return {
        name: (PALETTE[order.index(name) % len(PALETTE)], MARKERS[order.index(name) % len(MARKERS)]) for name in names
    }


def svg(figure: Figure) -> str:
    """Export a figure as SVG text that is the same every time it is made from the same numbers.

    Args:
        figure: The figure.

    Returns:
        An SVG document without date; its text is text, in DejaVu Sans, and holds no control character, which XML does
        not allow.
    """
    for text in figure.findobj(Text):
        text.set_text(printable(text.get_text(), keep="\n"))
    buffer = io.StringIO()
    settings: dict[Any, Any] = {"svg.hashsalt": "vergence", "svg.fonttype": "none"}
    with styled(), mpl.rc_context(settings):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    return printable(buffer.getvalue(), keep="\n\t")  # labels of ticks are made anew while it is drawn


def settle(figure: Figure) -> None:
    """Lay a figure out once and for all: the layout of matplotlib moves a little each time it is run."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def quiet(axes: Axes, *spines: str) -> None:
    """Hide the named spines and every tick mark, and keep labels."""
    axes.spines[list(spines)].set_visible(False)
    axes.tick_params(length=0)
