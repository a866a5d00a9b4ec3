"""vla-ros doctor: looks at a graph and at this machine, and says what would go wrong."""
