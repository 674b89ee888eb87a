"""Pictures by matplotlib, and what notebooks show without it.

What is drawn of a schedule or a plan is said where these are: in `plotting.py` and `notebook.py` of
`schedalg.schedule` and `schedalg.plan`.
"""
