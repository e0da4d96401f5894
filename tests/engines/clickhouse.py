"""Runs the files of engines/clickhouse by chdb, ClickHouse inside of a process, on topics of a real Kafka.

    clickhouse.py BOOTSTRAP PARAMETERS TOPIC=MESSAGES...

Takes each topic to its end in turn, each time by a consumer group of its own, and prints one JSON object a line: what the
tables hold then, and the rows of every query, by its title. PARAMETERS are those of the queries, a JSON object.

In chdb a Kafka table is made, checks its settings, reads and parses; only the thread that feeds its views doesn't run. So
the view's own SELECT is run as an INSERT, again and again; everything behind it runs as it does in a server.
"""

import json
import pathlib
import re
import sys
import time

from chdb import session

FILES = pathlib.Path(__file__).resolve().parents[2] / "engines" / "clickhouse"
DATABASE = "distributed_trace"
# What creating a Kafka table ends in here: the table is there, its background thread is not.
NO_THREAD = "Shutdown was called"
PATIENCE_S = 120


def statements(text):
    """The statements of a file, without their comments."""
    return [part.strip() for part in re.sub(r"--.*", "", text).split(";") if part.strip()]


def queries():
    """Title and text of each query: a paragraph that begins with a comment, whose first sentence is the title."""
    for paragraph in (FILES / "queries.sql").read_text().split("\n\n"):
        for query in statements(paragraph):
            title = re.match(r"-- ([^.:]*)", paragraph.strip())
            yield title.group(1), query


class ClickHouse:
    def __init__(self):
        self.session = session.Session()
        for statement in statements((FILES / "tables.sql").read_text()):
            self.run(statement)
        # Says when everything of a topic has arrived.
        self.run("CREATE TABLE seen (kafka_partition UInt64, kafka_offset UInt64) ENGINE = Memory")
        self.run("CREATE MATERIALIZED VIEW count_seen TO seen AS "
                 f"SELECT kafka_partition, kafka_offset FROM {DATABASE}.arrived")

    def run(self, statement, **parameters):
        self.session.query(statement, params=parameters)

    def rows(self, query, **parameters):
        answer = self.session.query(query, "JSONEachRow", params=parameters)
        return [json.loads(line) for line in answer.data().splitlines()]

    def value(self, query):
        (row,) = self.rows(query)
        (value,) = row.values()
        return value

    def take(self, bootstrap, topic, group, messages):
        """Everything of a topic, by the table and the SELECT of kafka.sql."""
        text = (FILES / "kafka.sql").read_text()
        for name, value in [("broker_list", bootstrap), ("topic_list", topic), ("group_name", group)]:
            text, count = re.subn(f"kafka_{name} = '[^']*'", f"kafka_{name} = '{value}'", text)
            assert count == 1, name
        table, view = statements(text)
        # Until all has come, however slow the machine: a read ends with the last message, or after a minute, or when none
        # has come for ten seconds. Then the next one goes on.
        table += (f", kafka_max_block_size = {messages}, kafka_flush_interval_ms = 60000, kafka_poll_timeout_ms = 10000"
                  ", kafka_commit_on_select = 1")
        try:
            self.run(table)
            raise SystemExit("this chdb runs Kafka tables whole: let it")
        except RuntimeError as error:
            if NO_THREAD not in str(error):
                raise
        self.run(view)
        select = self.value("SELECT as_select FROM system.tables WHERE name = 'topic_to_arrived'")
        # Nothing else may read a Kafka table that feeds a view.
        self.run(f"DROP VIEW {DATABASE}.topic_to_arrived")
        # A view's columns go by their names, those of an INSERT by their places.
        columns = ", ".join(row["name"] for row in self.rows(f"DESCRIBE ({select})"))
        insert = f"INSERT INTO {DATABASE}.arrived ({columns}) {select} SETTINGS stream_like_engine_allow_direct_select = 1"
        self.run("TRUNCATE TABLE seen")
        deadline = time.monotonic() + PATIENCE_S
        while (seen := self.value("SELECT uniqExact(kafka_partition, kafka_offset) FROM seen")) < messages:
            if time.monotonic() > deadline:
                raise SystemExit(f"{seen} of {messages} messages of {topic} came within {PATIENCE_S} s")
            self.run(insert)
        self.run(f"DROP TABLE {DATABASE}.topic")
        return seen

    def refresh(self):
        """What the server does every minute; how many rows each view wrote."""
        for view in ("refresh_pair_minutes", "refresh_zone_minutes"):
            self.run(f"SYSTEM REFRESH VIEW {DATABASE}.{view}")
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for view in ("refresh_pair_minutes", "refresh_zone_minutes"):
                self.run(f"SYSTEM WAIT VIEW {DATABASE}.{view}")
            refreshes = self.rows("SELECT view, status, written_rows FROM system.view_refreshes")
            # Their own time may have come meanwhile.
            if all(refresh["status"] == "Scheduled" for refresh in refreshes):
                return {refresh["view"]: refresh["written_rows"] for refresh in refreshes}
        raise SystemExit(f"the views are never done: {refreshes}")

    def age(self):
        """As if all that is there had come ten minutes ago."""
        self.run(f"ALTER TABLE {DATABASE}.records UPDATE inserted_at = inserted_at - INTERVAL 10 MINUTE WHERE 1 "
                 "SETTINGS mutations_sync = 2")


def main():
    bootstrap, parameters, *topics = sys.argv[1:]
    clickhouse = ClickHouse()
    # Times as numbers.
    clickhouse.run("SET output_format_json_quote_64bit_integers = 0, date_time_output_format = 'unix_timestamp'")
    for number, argument in enumerate(topics):
        topic, messages = argument.split("=")
        clickhouse.age()
        seen = clickhouse.take(bootstrap, topic, f"test-{number}", int(messages))
        written = clickhouse.refresh()
        tables = {name: clickhouse.rows(f"SELECT * FROM {DATABASE}.{name} FINAL") for name in ("pair_minutes", "zone_minutes")}
        found = {title: clickhouse.rows(query, **json.loads(parameters)) for title, query in queries()}
        print(json.dumps({"seen": seen, "written": written, "tables": tables, "queries": found}), flush=True)


if __name__ == "__main__":
    main()
