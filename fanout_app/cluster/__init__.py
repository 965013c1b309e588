"""What a worker does for clients of other workers, and has other workers do for its own."""
