"""Fail when the code or the documents cite a key such as [cai2025] that references.bib does not hold."""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CITED = re.compile(r"\[([a-z]+(?:19|20)\d{2}[a-z]?)\]")
DECLARED = re.compile(r"^@\w+\{([^,\s]+),", re.MULTILINE)


def main() -> int:
    """Print every unknown key with its place; return 1 if there is any."""
    declared = set(DECLARED.findall((ROOT / "references.bib").read_text()))
    files = [
        *ROOT.glob("*.md"),
        *(f for d in ("src", "docs", "tests", "benchmarks") for f in (ROOT / d).rglob("*.[pm][yd]")),
    ]
    unknown = [
        f"{file.relative_to(ROOT)}:{number}: [{key}] is not in references.bib; known: {', '.join(sorted(declared))}"
        for file in sorted(files)
        for number, line in enumerate(file.read_text().splitlines(), 1)
        for key in CITED.findall(line)
        if key not in declared
    ]
    print("\n".join(unknown) or f"citations: {len(declared)} keys, all known")
    return bool(unknown)


if __name__ == "__main__":
    sys.exit(main())
