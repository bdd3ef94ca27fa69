"""`python -m orchboard` is the same program as `orchboard`."""

from orchboard.cli import main

if __name__ == "__main__":
    main()
