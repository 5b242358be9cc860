"""What can be run to see Covey work and to measure it; not part of the installed program."""
