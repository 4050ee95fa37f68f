"""The cases as data: what is deployed, what the client is asked to do, what must be seen."""
