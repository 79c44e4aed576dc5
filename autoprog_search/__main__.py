"""`autoprog-search`, also as `python -m autoprog_search`. Nothing is imported before Ctrl-C is taken care of."""

import sys


def main() -> None:
    """The command; interrupted while it still imports, it ends as it does later."""
    try:
        from autoprog_search.cli.main import main as run
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on", file=sys.stderr)
        sys.exit(130)
    run()


if __name__ == "__main__":
    main()
