"""The scoring scripts that run inside a service."""
