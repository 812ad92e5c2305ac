"""What flows stand on: workspace, locks, fingerprints, the Prefect server, the command line."""
