"""``python -m remot`` is ``remot``, for launchers that start modules."""

from remot.cli import main

if __name__ == "__main__":
    main()
