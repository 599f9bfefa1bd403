"""Python that runs in the reader's browser. Its files lie at the top there, beside ``kvroles`` and ``yaml``."""
