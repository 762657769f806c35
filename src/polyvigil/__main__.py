"""``python -m polyvigil``."""

from polyvigil.cli.main import main

if __name__ == "__main__":
    main()
