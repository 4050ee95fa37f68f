"""The layers of a deployed service, and the five profiles as data over them."""
