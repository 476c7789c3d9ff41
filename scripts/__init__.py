"""One thin file per command.

Modules, in the order in which a week runs:

"""
