"""The prediction log: entries, spool, tables, drainer, reading, history, erasure."""
