"""``python -m pgha``: the same as the console script."""

from pgha.main import main

main()
