"""Editors of images: one file each, and the parts that several share."""
