"""Composition: where concrete actors, sources and journals meet the kernel, for replay and live alike."""
