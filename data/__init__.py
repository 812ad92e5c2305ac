"""What a record is: contracts, records, sources, the bundle. Imports nothing of flows/ or serving/."""
