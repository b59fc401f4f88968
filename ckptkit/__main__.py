"""``python -m ckptkit``: the command line."""

from ckptkit.cli.main import main

if __name__ == "__main__":
    main()
