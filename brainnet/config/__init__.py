"""Settings: every key with its unit and reason, and the YAML files that hold differences from the defaults."""

from brainnet.config.settings import (
    OPEN_SECTIONS,
    changed,
    checked_config,
    config_files,
    config_help,
    config_keys,
    get_cfg_defaults,
    load_config,
    parse_config,
)

__all__ = [
    "OPEN_SECTIONS",
    "changed",
    "checked_config",
    "config_files",
    "config_help",
    "config_keys",
    "get_cfg_defaults",
    "load_config",
    "parse_config",
]
