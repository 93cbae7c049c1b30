"""Stands in for the published plugin `terraform-provider` with the parameter backblaze/b2."""
