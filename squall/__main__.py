"""`python -m squall`: the command line."""

from squall.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
