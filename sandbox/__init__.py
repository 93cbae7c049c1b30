"""A whole small world on this machine: engine, server, Synapse, S3 store, provider plugins."""
