"""Which graph answers a path: the v1 and v2 protocols, and the default graph for all the rest."""
