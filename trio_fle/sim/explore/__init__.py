"""Every order of events that three servers can live through, within bounds."""
