"""What the files round a file say of it: that they run it, take it over, make another of it, or lay something over it."""
