"""Fast leader election as a pure state machine: events in, effects out, time passed in."""
