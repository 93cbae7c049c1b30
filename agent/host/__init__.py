"""This room is this server: processes, systemd, mounts, files of ours, downloads, unit files."""
