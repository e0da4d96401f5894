"""Wrong values are refused, with a message that helps: refused.yaml."""

import unittest

import yaml

from charts import HERE, with_values


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


if __name__ == "__main__":
    unittest.main()
