"""Leaves of an operation's arguments; torch's pytree does the same in Python, in half of the time of a test here."""

from torch.utils._pytree import tree_flatten, tree_map


def mapped(change, value):
    """``value`` with its leaves changed."""
    kind = type(value)
    if kind is tuple:
        return tuple([mapped(change, part) for part in value])
    if kind is list:
        return [mapped(change, part) for part in value]
    if kind is dict:
        return {name: mapped(change, part) for name, part in value.items()}
    return tree_map(change, value) if isinstance(value, tuple | list | dict) else change(value)


def leaves(value):
    """The leaves of ``value``, in order."""
    kind = type(value)
    if kind is tuple or kind is list:
        return [leaf for part in value for leaf in leaves(part)]
    if kind is dict:
        return [leaf for part in value.values() for leaf in leaves(part)]
    return tree_flatten(value)[0] if isinstance(value, tuple | list | dict) else [value]
