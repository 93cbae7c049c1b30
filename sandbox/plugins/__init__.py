"""Stand-ins for provider plugins that cannot be downloaded here. They follow the published ones strictly."""
