"""``python -m scoring_conformance``."""

from scoring_conformance.command import main

main()
