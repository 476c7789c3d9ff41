"""The constraint file of the product managers, read strictly.

Modules, in the order in which data flows:

- tree: YAML text as a tree that remembers its lines, without anything that surprises
- overrides: `set.ID.FIELD=VALUE` applied to the tree
- suggest: "did you mean"
- words: filters, bounds, strengths and terms as values, and what every rule may carry
- kinds: a folder with a class per kind of constraint
- grammar: the policy as frozen records, whose fields are the words of the file
- off: the rules that do not hold on a day, in words
- check: a policy against the catalogue and the segments it is meant for
- doubts: what is right as it stands and yet seldom meant
- reader: file in, policy out, or every mistake at once
- checked: a policy file checked at once, with warnings and the words that it may use
- schema: the JSON schema of policy files, for editors
- edit_words: edits of a policy in words
- differences: what differs between two policies, as edits that can be applied one by one
- experiment: who is held out and who explores, by salted hash
"""
