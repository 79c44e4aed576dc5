"""`python -m autoprog_search` is the `autoprog-search` command."""

from autoprog_search.cli.main import main

main()
