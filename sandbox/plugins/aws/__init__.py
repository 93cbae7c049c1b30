"""Stands in for the published plugin `aws`, for the resources that the program uses."""
