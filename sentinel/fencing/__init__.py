"""Fence agents (the Linux-HA ``fence_*`` convention): switching a lost primary's host off."""
