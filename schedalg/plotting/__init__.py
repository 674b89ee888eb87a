"""Pictures by matplotlib, and what notebooks show without it.

Schedules and plans themselves are drawn by `plotting.py` and `notebook.py` in `schedalg.schedule`
and `schedalg.plan`.
"""
