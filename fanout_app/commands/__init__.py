"""What ``fanout`` does beside running a worker: ``fanout WORD ...``."""
