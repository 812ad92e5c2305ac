"""The contract: columns, target, roles and ranges of a data set, from one YAML."""
