"""What do we know about other people's ticket systems? Templates, pointers and preset files, for whoever calls them.

template.py  {name} in paths, headers and bodies
pointer.py   what we take out of their answers
document.py  what they send us: JSON or a form
preset.py    config/presets/*.toml: read and checked
calls.py     one HTTP call to a ticket system, with its address, headers and secrets
"""
