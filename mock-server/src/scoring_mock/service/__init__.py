"""Services: what was asked for, how they are found, and how one of them answers."""
