"""``kv-roles``: one command for all tools. It imports the command that is named, and nothing else."""
