"""`python -m scoring_mock`."""

import sys

from scoring_mock.command import main

sys.exit(main())
