"""Histories: all that was done to one worker and all it answered, written down, and a judge of what may not be."""
