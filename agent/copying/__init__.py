"""This room copies many files at once between the media store and the bucket."""
