"""`python -m postsync` is the command line."""

from .cli import main

main()
