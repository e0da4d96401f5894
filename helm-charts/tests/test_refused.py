"""Wrong values are refused, with a message that helps: refused.yaml."""

import json
import unittest

import yaml

from charts import CHARTS, HERE, with_values


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

    def test_the_subchart_and_its_parent_know_the_same_names(self):
        def names(chart, *path):
            schema = json.loads((CHARTS / chart / "values.schema.json").read_text())
            for part in path:
                schema = schema["properties"][part]
            return set(schema["properties"])

        self.assertEqual(names("dt-chart", "zookeeper"), names("dt-chart/charts/zookeeper"))


if __name__ == "__main__":
    unittest.main()
