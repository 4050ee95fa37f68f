"""The clients under test: manifests, toolchains, builds, long-lived processes."""
