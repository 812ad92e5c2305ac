"""One record: ids, cells, features, frames, quarantine; whether a cell is valid and why not."""
