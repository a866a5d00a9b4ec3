"""Faults between real processes, measured at the command input of the simulated arm."""
