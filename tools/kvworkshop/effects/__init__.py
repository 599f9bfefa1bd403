"""What the KV role changes for a NIXL deployment, proven against the source of every release."""
