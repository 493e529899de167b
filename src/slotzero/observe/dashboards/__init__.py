"""Grafana dashboards, as generated files and as the code that generates them.

`files` hands the files out and needs nothing. `generate`, `panels`, `performance` and `live` make them and need the
typed builder (grafana-foundation-sdk), a development dependency; nothing imports them at run time.
"""
