"""Which side each role of a file is on, after all that its own text and the files round it say; what to do where none is."""
