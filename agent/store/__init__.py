"""This room is the bucket: a small S3 client, its signatures, who owns the bucket, and rclone's configuration."""
