"""`python -m resnetgen`."""

from resnetgen.cli import main

if __name__ == "__main__":
    main()
