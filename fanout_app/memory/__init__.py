"""``fanout --memory``: the same queue and the same HTTP over a topic in this process, for tests and a first look."""
