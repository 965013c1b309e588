"""The HTTP interface of `docs/api.md`: translates between requests and the core's values, decides nothing."""
