"""One calm style for all plots: colours that the colour-blind can tell, and never colour alone."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from data.words import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 120
OKABE_ITO = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000")
"""Okabe and Ito 2008, "Color Universal Design"."""
DASHES = ("-", "--", "-.", (0, (1, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 3)))
MAIN, ACCENT, INK, SOFT, FAINT = OKABE_ITO[0], OKABE_ITO[3], "#222222", "#666666", "#D9D9D9"

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": "#AAAAAA",
    "axes.labelcolor": INK,
    "axes.titlecolor": SOFT,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titlepad": 8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#EEEEEE",
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "savefig.dpi": DPI,
}


@contextmanager
def styled() -> Iterator[None]:
    """Draw in this style, and leave matplotlib as it was."""
    from matplotlib import rc_context

    with rc_context(STYLE):
        yield


def new_figure(title: str, width: float, height: float) -> "Figure":
    """Return an empty figure (inches) with its title at the top left."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12, wspace=0.04, hspace=0.06)
    figure = Figure(figsize=(width, height), layout=layout)
    figure.suptitle(title, x=0.012, ha="left", fontsize=13, fontweight="bold")
    return figure


def class_style(position: int) -> dict[str, Any]:
    """Return the colour and dashes of the class at a position; both repeat after seven."""
    return {"color": OKABE_ITO[position % len(OKABE_ITO)], "linestyle": DASHES[position % len(DASHES)]}


def share_axes(axes: "Axes", xlabel: str, ylabel: str) -> None:
    """Set both axes to shares from 0 to 1."""
    from matplotlib.ticker import MultipleLocator

    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=xlabel, ylabel=ylabel)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MultipleLocator(0.2))
        axis.set_major_formatter(lambda share, _: percent(share))


def bare(axes: "Axes") -> None:
    """Take grid and edges away, for plots that carry their figures themselves."""
    axes.grid(False)
    axes.spines[:].set_visible(False)


def side_legend(axes: "Axes", title: str) -> None:
    """Put the legend, if there is anything in it, to the right of the plot."""
    if not axes.get_legend_handles_labels()[0]:
        return
    legend = axes.figure.legend(title=title, loc="outside right center", handlelength=3)
    legend.get_title().set(color=SOFT)
    legend.set_alignment("left")
