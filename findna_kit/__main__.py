"""Entry point of `python -m findna_kit`."""

from findna_kit.cli import main

if __name__ == "__main__":
    main()
