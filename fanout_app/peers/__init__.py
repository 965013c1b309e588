"""The connections between workers: one WebSocket a pair."""
