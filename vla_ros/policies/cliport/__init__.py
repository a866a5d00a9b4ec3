"""CLIPort: where to pick and where to place, as pixels of a top-down view, from a sentence."""
