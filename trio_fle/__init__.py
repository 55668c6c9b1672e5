"""Apache ZooKeeper's Fast Leader Election as a Trio service."""
