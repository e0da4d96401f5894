"""Wrong values are refused, with a message that helps: refused.yaml."""

import json
import unittest

import yaml

from charts import CHARTS, HERE, with_values

# Where the charts hand on what they don't look into: objects of Kubernetes' own, and what Helm adds.
HANDED_ON = {
    "extraVolumes", "global",
    *(f"{of}affinity.{kind}" for of in ("", "collector.") for kind in ("nodeAffinity", "podAffinity", "podAntiAffinity")),
    *(f"{of}extraEnv.valueFrom" for of in ("", "collector.")),
    *(f"{of}.{kind}" for of in ("networkPolicy.scrapers", "collector.readers") for kind in ("podSelector", "namespaceSelector", "ipBlock")),
}


def open_objects(schema, at=()):
    """Where a schema says `object` and not which names it may have."""
    if schema is True:
        return  # Judged by the subchart's own schema.
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        yield ".".join(at)
    for name, inner in (schema.get("properties") or {}).items():
        yield from open_objects(inner, (*at, name))
    yield from open_objects(schema["items"], at) if "items" in schema else ()
    for inner in schema.get("$defs", {}).values():
        yield from open_objects(inner, at)


class Refused(unittest.TestCase):
    def test_all(self):
        for chart, entries in yaml.safe_load((HERE / "refused.yaml").read_text()).items():
            for entry in entries:
                with self.subTest(chart=chart, values=entry["values"]):
                    result = with_values(chart, entry["values"])
                    self.assertNotEqual(result.returncode, 0, "was accepted")
                    self.assertEqual(result.stdout, "")
                    for part in entry["says"]:
                        self.assertIn(part, result.stderr)

    def test_no_object_takes_any_name(self):
        found = set()
        for path in CHARTS.rglob("values.schema.json"):
            found |= set(open_objects(json.loads(path.read_text())))
        self.assertEqual(found, HANDED_ON)

    def test_the_subchart_and_its_parent_know_the_same_names(self):
        def names(chart, *path):
            schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
            for part in path:
                schema = schema["properties"][part]
            return set(schema["properties"])

        self.assertEqual(names("dt-chart", "zookeeper"), names("dt-chart/charts/zookeeper"))


if __name__ == "__main__":
    unittest.main()
