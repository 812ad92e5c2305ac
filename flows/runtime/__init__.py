"""What commands run on: settings of the screen, Prefect's server, services, engines, files."""
