"""The tree a run works on: reads and writes that follow no link, one writer, a journal, and a stage beside the target."""
