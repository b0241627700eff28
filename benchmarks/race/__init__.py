"""Let compiled networks race: the same network, weights, input and threads for each.

What a contestant runs is prepared once and kept (`artifacts`, `prepare`): a module here has
`prepare`, which writes a folder, and `load`, which makes of that folder a function to call. `table`
lists the contestants; `heat` keeps a process for each of them and lets them run in turn.
"""
