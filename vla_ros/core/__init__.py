"""numpy and the standard library only: arms, limits, chunks, watchdogs."""
