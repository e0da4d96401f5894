"""A chart's README.md from its Chart.yaml and its values.yaml, with what README.head.md says first.

A comment that begins with `# --` describes the value below it; it may go on over further comment lines.
"""

import json
import re

import yaml

from charts import CHARTS

SUBCHARTS = {"dt-chart": [("zookeeper", "dt-chart/charts/zookeeper")], "kafka": []}


def described(path):
    """(dotted key, description) of every described value, in the file's order."""
    stack, text, out = [], None, []
    for line in path.read_text().splitlines():
        comment = re.match(r"\s*#( -- )?\s?(.*)", line)
        if comment:
            if comment[1]:
                text = comment[2]
            elif text is not None:
                text += " " + comment[2].strip()
            continue
        key = re.match(r"( *)([A-Za-z_][\w.]*):", line)
        if key is None:
            text = None
            continue
        depth = len(key[1]) // 2
        stack = stack[:depth] + [key[2]]
        if text is not None:
            out.append((list(stack), text))
            text = None
    return out


def default(values, keys):
    for key in keys:
        values = values[key]
    return json.dumps(values)


def table(path, prefix=""):
    values = yaml.safe_load(path.read_text())
    lines = ["| value | default | meaning |", "| --- | --- | --- |"]
    covered = []
    for keys, text in described(path):
        covered.append(keys)
        lines.append(f"| `{prefix}{'.'.join(keys)}` | `{default(values, keys)}` | {text} |".replace("\\|", "|"))
    missing = [".".join(keys) for keys in leaves(values) if not any(keys[: len(c)] == c for c in covered)]
    assert not missing, f"{path}: no comment `# --` above {', '.join(missing)}"
    return "\n".join(lines)


def leaves(values, keys=()):
    if isinstance(values, dict) and values:
        for key, value in values.items():
            yield from leaves(value, (*keys, key))
    else:
        yield list(keys)


def readme(chart):
    """The text of a chart's README.md."""
    about = yaml.safe_load((CHARTS / chart / "Chart.yaml").read_text())
    parts = [
        f"# {chart}\n<!-- Made by `scripts/check-charts --update` from README.head.md and values.yaml; a test compares. -->",
        about["description"],
        (CHARTS / chart / "README.head.md").read_text().strip(),
        "## Values\n\n`values.schema.json` refuses every other one.",
        table(CHARTS / chart / "values.yaml"),
    ]
    for name, folder in SUBCHARTS[chart]:
        parts.append(f"### `{name}`\n\nValues of the local subchart {name}:")
        parts.append(table(CHARTS / folder / "values.yaml", f"{name}."))
    return "\n\n".join(parts) + "\n"
