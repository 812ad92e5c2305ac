"""From dated records to what was known of each student on a day.

`open_snapshots` stages the tables that a contract names (`tables`), takes each student's row as of each day
by SQL in DuckDB (`snapshots`), truncating first and joining after, and says which records it set aside.
"""
