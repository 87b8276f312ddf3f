"""The process as a service: systemd's protocol, credentials, logs, watchdog, guards of loop and clock."""
