"""``python -m lmos`` is the command ``lmos``."""

from lmos.cli import main

main()
