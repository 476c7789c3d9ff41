"""What the data of a week looks like, in little room: profiles of tables from sketches that merge, and how far two weeks are apart.

Modules, in the order in which data flows:

- sketch: sketches of columns
- records: what profile.json holds
- table: profiles of tables, logs and scores, from their files
- drift: how far a profile is from that of another week, in sizes of effects
"""
