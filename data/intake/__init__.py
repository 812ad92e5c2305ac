"""A new data set: draft its contract, check a contract and a file against each other."""
