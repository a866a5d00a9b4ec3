"""The commands of `vla-ros`, one module each; the command line loads a module when it is asked."""
