"""`python -m hemoseg`: the same as the command `hemoseg`."""

from hemoseg.cli import main

main()
