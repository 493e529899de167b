"""`python -m slotzero` is the `slotzero` command."""

from slotzero.cli.main import main

if __name__ == "__main__":
    main()
