"""Everything that a profile lists, executed in one round: ``robnb run all``.

`entries` reads and checks the list of the profile, `round` goes through it; `lanes` are notebooks that run at once,
each in a process of its own (`lane`); `journal` has what a killed round had finished, `display` shows how far it is.
"""
