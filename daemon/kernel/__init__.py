"""The deterministic machine: actors, messages, mailboxes, one sequencer, clocks. Pure; knows no market and no I/O."""
