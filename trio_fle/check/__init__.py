"""A configuration, checked: what it means, and what is wrong with it. Nothing here asks anybody."""
