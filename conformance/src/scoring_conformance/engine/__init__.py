"""Plan, run, judge, results: everything between the cases and a verdict, without pytest and without a terminal."""
