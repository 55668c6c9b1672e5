"""Pure cores on an event queue: the election and the gates, without Trio."""
