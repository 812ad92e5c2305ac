"""Where records come from: files, databases, object stores, in chunks."""
