"""Everything that speaks to ZooKeeper."""
