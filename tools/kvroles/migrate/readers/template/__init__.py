"""The actions of Helm, Go and Jinja templates."""
