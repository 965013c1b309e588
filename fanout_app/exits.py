"""Exit codes; `docs/operations.md` says what to do about each. Apart from the worker, whose imports take a while."""

EXIT_STOPPED = 0
EXIT_FAULT = 1
EXIT_START = 2
