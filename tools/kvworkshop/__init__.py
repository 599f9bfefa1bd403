"""The maintainers' house: proving, porting, linting, pages, runs of vLLM. Nothing in kvroles imports it."""
