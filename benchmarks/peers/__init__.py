"""The systems that bin/bench compares, each in a module of its own behind one small protocol (`system`)."""
