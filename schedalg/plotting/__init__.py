"""Pictures: axes of matplotlib, the marks on them, images and trajectories.

What is drawn of a schedule or a plan is said where these are: `schedalg.schedule.plotting` and
`schedalg.plan.plotting`.
"""
