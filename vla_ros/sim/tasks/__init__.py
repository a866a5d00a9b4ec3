"""What the simulated arm can be asked to do: goals, how to tell that they are met, experts."""
