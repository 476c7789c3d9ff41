"""From the words of a command line to an exit status.

Modules, in the order in which words flow:

- store_address: where an object store is
- shipped: where configuration lies, what is shipped and what is a company's own
- settings: the whole configuration, typed, frozen and checked
- statuses: what a job came to, as an exit status and one message
- loudness: how much a call tells on the console
- logs: what is logged, and where: the console, and a run's own log
- keys: the words of a command line, translated and checked
- own_configuration: a company's folder, checked and put over what is shipped
- new_configuration: such a folder, begun
- entry: composition, logging and exit statuses
- at_once: the entry of commands that load no settings
- progress: how far an allocation is, and how long it may still take
"""
