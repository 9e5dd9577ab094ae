"""Interrupt and damage whole runs at random moments; compare them with uninterrupted ones."""
