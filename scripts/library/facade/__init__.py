"""The folder that a checkout has on its path, so that `import offermix` means this module there too.

- offermix: the facade; where the wheel is installed, the package itself
"""
