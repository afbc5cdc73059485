"""Write requirements.lock: the versions now installed of everything the project needs, and of what those need."""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Every version that `make` installs. Written by `make lock` from an environment in which all tests pass.\n"


def main() -> None:
    """Walk the declared requirements through the installed metadata and pin each distribution met."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    own = project["project"]["name"]
    extras = [line for lines in project["project"]["optional-dependencies"].values() for line in lines]
    waiting = [
        Requirement(line) for line in project["project"]["dependencies"] + extras + project["dependency-groups"]["dev"]
    ]
    seen: set[tuple[str, str]] = set()
    pins: dict[str, str] = {}
    while waiting:
        requirement = waiting.pop()
        name = re.sub(r"[-_.]+", "-", requirement.name).lower()
        wanted = {(name, extra) for extra in {"", *requirement.extras}} - seen
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if name == own or not wanted:
            continue
        seen |= wanted
        try:
            found = distribution(name)
        except PackageNotFoundError:
            if applies:
                raise SystemExit(
                    f"{name} is required but not installed; install it, run the tests, then `make lock`"
                ) from None
            continue
        pins[name] = found.version.split("+")[0]
        for line in found.requires or []:
            child = Requirement(line)
            if child.marker is None or any(child.marker.evaluate({"extra": extra}) for _, extra in wanted):
                child.marker = None
                waiting.append(child)
    lines = [f"{name}=={version}\n" for name, version in sorted(pins.items())]
    (ROOT / "requirements.lock").write_text(HEADER + "".join(lines))
    print(f"requirements.lock: {len(lines)} packages")


if __name__ == "__main__":
    main()
