"""A network of namespaces for tests that break it."""
