"""Which connector a role belongs to, by what its own file says: named, set later, laid over, taken from somewhere else."""
