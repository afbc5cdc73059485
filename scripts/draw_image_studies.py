"""Draw what was predicted and measured over all image studies, and print the claims of each as Markdown.

Run from the root of the repository: `python scripts/draw_image_studies.py docs/results/levers docs/results/mpi3d-*`.
The figure goes to `docs/figures/images-predicted.svg`; its caption and the tables of claims are printed.
"""

import json
import sys
from pathlib import Path

from vergence.plots import svg
from vergence.studies.images.together import drawing
from vergence.studies.study import bound

FIGURE = Path("docs/figures/images-predicted.svg")


def claims_as_markdown(verdict: dict) -> str:
    """The table of a study's claims as its page has it."""
    lines = [f"`{verdict['command']}`", "", "| claim | measured | bound | |", "|---|---|---|---|"]
    for claim in verdict["claims"]:
        value = "–" if claim["measured"] is None else f"{claim['measured']:.3f}"
        outcome = {"fails": "**fails**", None: ""}.get(claim["outcome"], claim["outcome"])
        where = f" ({claim['where']})" if claim["where"] else ""
        lines.append(f"| {claim['statement']} | {value} | {bound(claim)} | {outcome}{where} |")
    return "\n".join(lines)


def main(names: list[str]) -> None:
    """Write the figure and print the rest."""
    folders = [Path(name) for name in names]
    drawn = drawing(folders)
    FIGURE.write_text(svg(drawn.wide), encoding="utf-8")
    print(drawn.caption)
    for folder in folders:
        print(f"\n## {folder.name}\n\n{claims_as_markdown(json.loads((folder / 'verdict.json').read_text()))}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("name folders of finished studies, such as docs/results/levers")
    main(sys.argv[1:])
