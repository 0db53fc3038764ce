"""Recordings: LeRobotDataset v3 folders in and out, and clips of them for training."""
