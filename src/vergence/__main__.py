"""`python -m vergence` is `vergence`; this is also what the installed command starts."""

import sys


def main() -> int:
    """Run the command line; an interrupt while it is still being imported ends it as quietly as a later one."""
    try:
        from vergence.cli.main import main as command_line
    except KeyboardInterrupt:
        return 130
    return command_line()


if __name__ == "__main__":
    sys.exit(main())
