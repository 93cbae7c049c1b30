"""This room says who serves the media now, mounts the bucket, proves that it serves, and watches over it."""
