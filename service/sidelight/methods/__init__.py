"""Explanation methods: one method, one file, read beside its paper."""
