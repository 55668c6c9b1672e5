"""Elections in virtual time: of pure cores on an event queue, or of whole members on a virtual network."""
