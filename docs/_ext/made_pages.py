"""Pages that are made from the package: every command, every setting, every study, and what the benchmarks measured."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def pages() -> dict[str, str]:
    """File name to text, of every page."""
    found = {"settings.md": settings(), "presets.md": presets(), "performance.md": performance()}
    commands = command_texts()
    found |= {f"commands/{name.replace(' ', '_')}.md": text for name, text in commands.items()}
    found["commands/index.md"] = command_index(list(commands))
    return found | studies()


def command_index(names: list[str]) -> str:
    """Table of all commands."""
    from brainnet.cli.shared import app  # noqa: F401  (the help of each is read from it)

    rows = "".join(f"| [`{name}`]({_file(name)}) | {_lead(command.help)} |\n" for name, command in commands().items())
    toc = "\n".join(f"{name} <{_file(name)[:-3]}>" for name in names)
    return (
        "# Every command\n\nThis page is made from the commands themselves. `COMMAND --help` prints the same text in a "
        "terminal.\n\n```bash\nbrainnet --version\n```\n\n| command | what it does |\n|---|---|\n"
        f"{rows}\n```{{toctree}}\n:hidden:\n\n{toc}\n```\n"
    )


def commands() -> dict[str, Any]:
    """All commands by their full names, in the order of ``brainnet --help``."""
    from typer.main import get_command

    import brainnet.cli.app  # noqa: F401  (files the commands)
    from brainnet.cli.shared import app

    found: dict[str, Any] = {}

    def walk(command, path: list[str]) -> None:
        if not hasattr(command, "commands"):
            found[" ".join(path)] = command
            return
        if path[1:] and command.invoke_without_command:
            found[" ".join(path)] = command
        for name, inner in command.commands.items():
            walk(inner, [*path, name])

    walk(get_command(app), ["brainnet"])
    return found


def command_texts() -> dict[str, str]:
    """A page for each command."""
    return {name: _command_page(name, command) for name, command in commands().items()}


def _command_page(name: str, command) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden and p.name != "help"]
    usage = " ".join([name, *(_usage(p) for p in arguments), *(["[OPTIONS]"] if options else [])])
    paragraphs = [_paragraph(part) for part in (command.help or "").split("\n\n")]
    text = f"# {name}\n\n" + "\n\n".join(paragraphs) + f"\n\n```text\n{usage}\n```\n"
    if arguments:
        rows = "".join(f"| `{_usage(p)}` | {_cell(p.help)} |\n" for p in arguments)
        text += f"\n| argument | meaning |\n|---|---|\n{rows}"
    if options:
        rows = "".join(f"| {_option(p)} | {_default(p)} | {_cell(p.help)} |\n" for p in options)
        text += f"\n| option | default | meaning |\n|---|---|---|\n{rows}"
    return text + "\nThe columns of all tables are listed under [tables](../../tables.md).\n"


def _usage(argument) -> str:
    word = argument.metavar or argument.name.upper()
    word += "..." if argument.nargs == -1 and "..." not in word else ""
    return word if argument.required or word.startswith("[") else f"[{word}]"


def _option(option) -> str:
    words = [f"`{word}`" for word in [*option.opts, *option.secondary_opts]]
    return ", ".join(words) + (f" `{option.metavar}`" if option.metavar else "")


def _default(option) -> str:
    value = option.default
    if option.required:
        return "required"
    if value is None or value is False or value == "" or value == () or callable(value):
        return ""
    return f"`{value}`"


def _paragraph(text: str) -> str:
    """A paragraph of a help text; lines that a user types become a block of code."""
    text = _plain(text)
    lines = text.splitlines()
    if lines and re.match(r"(brainnet |MASTER_ADDR|--)", lines[0]) and not text.endswith("."):
        joined = "\n".join(line.strip() for line in lines)
        return f"```text\n{joined}\n```"
    return _marked(text)


def _plain(text: str | None) -> str:
    """A help text without rich's markup; a command in color becomes code."""
    text = re.sub(r"\[cyan\](.*?)\[/(?:cyan)?\]", r"`\1`", text or "")
    return re.sub(r"\[/?(?:cyan|bold|dim|yellow|green|red|italic)?\]", "", text)


def _cell(text: str | None) -> str:
    return _marked(_plain(text).replace("|", "\\|").replace("\n", " "))


def _marked(text: str) -> str:
    """Text in which options are code, since two hyphens would become a dash, and no sign means anything in Markdown."""
    parts = text.split("`")  # every other part is code already
    for i in range(0, len(parts), 2):
        part = parts[i].replace("*", "\\*").replace("<", "\\<")
        parts[i] = re.sub(r"(?<!\w)(--[\w-]+)", r"`\1`", part)
    return "`".join(parts)


def _lead(text: str | None) -> str:
    return _cell((text or "").split("\n\n")[0])


def _file(name: str) -> str:
    return name.replace(" ", "_") + ".md"


def settings() -> str:
    """Table of all settings, by section."""
    from brainnet.config import config_help, config_keys

    values, meanings = config_keys(), config_help()
    text = (
        "# Every setting\n\nA setting is given behind a command as `KEY VALUE`, or in a YAML file. "
        "`KEY VALUE` wins over the YAML file, and the YAML file wins over the defaults below. "
        "The defaults are those of the original FactorTopy. The presets, named by `--config`, hold the differences "
        "that work on a thousand images; see [presets](presets.md).\n\n"
        "```bash\nbrainnet fit --keys\n```\n"
    )
    section = None
    for key in meanings:
        value = values.get(key, {})  # of an open section, what it holds is up to the part that it names
        head = key.rpartition(".")[0] or "General"
        if head != section:
            section = head
            text += f"\n## {section}\n\n| key | default | meaning |\n|---|---|---|\n"
        shown = "" if value == "" else str(value).replace("|", "\\|")
        text += f"| `{key}` | {f'`{shown}`' if shown else ''} | {_cell(meanings[key])} |\n"
    return text


def presets() -> str:
    """Every YAML file that comes with brainnet."""
    text = (
        "# Presets\n\nEach preset is a YAML file that comes with brainnet and is named by `--config`. It holds only "
        "what differs from the defaults.\n\n```bash\nbrainnet fit --config folder --keys\n```\n"
    )
    for path in sorted((ROOT / "configs").glob("*.yaml")):
        text += f"\n## {path.stem}\n\n```yaml\n{path.read_text().strip()}\n```\n"
    return text


def performance() -> str:
    """What was measured, question by question."""
    text = (
        "# Speed and memory\n\nThese tables are what `python -m benchmarks` wrote, on the machine that is named above "
        "each. Where another tool does the same job, it stands beside brainnet, on the same data. Run the benchmarks "
        "on your own machine before you trust a number for it.\n\n```bash notest\npython -m benchmarks rsa\n```\n"
    )
    for path in sorted((ROOT / "benchmarks" / "results").glob("*.md")):
        text += "\n" + re.sub(r"^(#+ )", r"#\1", path.read_text().strip(), flags=re.MULTILINE) + "\n"
    return text


def studies() -> dict[str, str]:
    """A page for each study, its README with its figure (``study_pages.py``), and one that lists them."""
    sys.path.insert(0, str(ROOT))
    from studies import form

    found, rows = {}, ""
    for name in form.studies():
        title = (form.FOLDER / name / "README.md").read_text().splitlines()[0].lstrip("# ")
        rows += f"| [{title.partition(':')[0]}]({name}.md) | {form.read(name).question} |\n"
        found[f"studies/{name}.md"] = (
            f"```{{include}} ../../../studies/{name}/README.md\n```\n\n## The figure at a glance\n\n"
            f"```{{include}} ../../_studies/{name}.md\n```\n"
        )
    toc = "\n".join(form.studies())
    found["studies/index.md"] = (
        "```{include} ../../../studies/README.md\n```\n\n## The studies\n\n| study | its question |\n|---|---|\n"
        f"{rows}\n```{{toctree}}\n:hidden:\n\n{toc}\n```\n"
    )
    return found
