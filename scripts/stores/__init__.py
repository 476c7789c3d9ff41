"""Publishing on an object store: S3 or what speaks its language, or Google Cloud Storage.

Below one prefix of a bucket stand `published.json`, which names what is published, `published/NUMBER-DIGEST.json`, an entry for each flip
so far, and `runs/NAME-DIGEST/`, the objects of a run. Only `published.json` ever changes, by one conditional put.

Modules, in the order in which data flows:

- endpoint: what the environment says of where a store is
- objects: the objects below a prefix: read, made where they are absent, swapped by version
- chain: what is published there, and every entry before it
- uploaded: the objects of a run, made and read back, and fetched again
- publishing: gates, objects, entry, pointer, in this order; rolling back
- reader: what is published now, whole, for readers
"""
