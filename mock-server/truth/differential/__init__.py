"""The container profile against the genuine inference server."""
