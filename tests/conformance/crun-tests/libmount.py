# SPDX-License-Identifier: Apache-2.0
"""Stands in for util-linux's Python module, which Debian 12 does not have: the little of it that crun's tests use."""


class Filesystem:
    def __init__(self, line):
        mount, _, filesystem = line.partition(" - ")
        fields = mount.split()
        self.target = fields[4]
        self.vfs_options = fields[5]
        self.fs_options = filesystem.split(" ")[2]


class Table:
    """A file in the form of /proc/self/mountinfo."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.filesystems = [Filesystem(line) for line in file if " - " in line]

    def find_target(self, target):
        return next(f for f in reversed(self.filesystems) if f.target == target)
