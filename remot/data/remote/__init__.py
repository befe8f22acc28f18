"""Clips on object storage, by fsspec: a folder of this machine whose files are fetched when they are opened."""

from remot.data.remote.folder import RemoteFolder, folder_of, named_root
from remot.data.remote.listing import is_url

__all__ = ["RemoteFolder", "folder_of", "is_url", "named_root"]
