"""What a strike of each kind does, by what is struck; `support.histories.nemesis` does it."""
