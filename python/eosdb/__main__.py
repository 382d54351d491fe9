"""`python -m eosdb` is the command `eosdb`, where its directory is not on the path."""

from .cli import main

main()
