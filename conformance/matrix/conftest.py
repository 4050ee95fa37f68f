from scoring_conformance.pytest_plugin import *  # noqa: F403 (the plugin is the whole of it)
from scoring_conformance.pytest_plugin import (  # noqa: F401 (fixtures and hooks that begin otherwise)
    conformance_engine,
    verdict,
)
