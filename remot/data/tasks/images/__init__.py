"""Tasks about single images and tracked boxes."""
