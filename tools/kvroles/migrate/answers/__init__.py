"""What people answered where the files do not say it: in comments, in the settings, in a baseline."""
