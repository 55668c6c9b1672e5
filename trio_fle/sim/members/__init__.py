"""Whole members: the real ones, on a network, disks and a clock that are simulated."""
