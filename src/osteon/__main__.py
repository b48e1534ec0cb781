"""`python -m osteon` is the `osteon` command."""

from osteon.cli import main

main()
