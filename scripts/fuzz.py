"""Throw random inputs at every boundary for some time, with another seed each round: `scripts/fuzz.py SECONDS`."""

import os
import subprocess
import sys
import time

EXAMPLES = 200  # of each test in a round


def main(seconds: float) -> int:
    """Repeat the fuzz tests until the time is over or one fails; returns pytest's exit code."""
    end, seed = time.monotonic() + seconds, 1
    environment = os.environ | {
        "VERGENCE_PLAIN": "1",
        "VERGENCE_FUZZ_EXAMPLES": str(EXAMPLES),
        "OMP_NUM_THREADS": "1",
    }
    arguments = ["tests/fuzz", "--quiet", "--numprocesses", "auto", "--hypothesis-profile", "random"]
    while time.monotonic() < end:
        command = [sys.executable, "-m", "pytest", *arguments, f"--hypothesis-seed={seed}"]
        if code := subprocess.call(command, env=environment):
            return code
        print(f"seed {seed}: {EXAMPLES} examples of each test passed", flush=True)
        seed += 1
    return 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1])))
