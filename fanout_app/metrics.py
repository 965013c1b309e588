class Metrics:
    def __init__(self, runtime): pass
    def commit_seconds(self, s): pass
