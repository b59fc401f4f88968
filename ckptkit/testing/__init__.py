"""For plugin authors and for us: strategies, contracts, fault injection."""
