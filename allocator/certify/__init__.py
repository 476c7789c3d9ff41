"""What an allocation achieved, recounted, and how near it is to the best possible.

Modules:

- contacts: the contacts of an allocation, and what constraints sum of them
- metric_sums: what the contacts sum of every metric, with standard errors
- remarks: what must be known of an allocation before its numbers are read
- certificate: what was achieved, next to the bound that no allocation exceeds
- price_ranges: between which bounds a price holds
"""
