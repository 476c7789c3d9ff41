"""offermix as a library: the five verbs of a week for notebooks, one command for all commands, and the wheel that ships both.

Modules:

- given: frames as the folders that commands read
- composed: settings from the configuration and keyword arguments
- results: what a verb came to: frames, records, and a folder to save
- verbs: prepare, train, score, allocate, evaluate
- command: `offermix NAME key=value ...`
- facade: the module that is imported as offermix
- wheel: what is installed, under one name
- build_hook: what the build tool calls
"""
