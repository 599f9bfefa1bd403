"""The site's playground: ``migrate`` in the reader's own browser, under Pyodide. ``browser/`` is what runs there."""
