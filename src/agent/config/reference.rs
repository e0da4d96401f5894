//! The table of keys as a page of the documentation.

use super::key::Key;
use super::keys::KEYS;

/// `docs/configuration.md`, whole.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(HEAD);
    for key in KEYS.iter().filter(|key| !key.hidden) {
        page.push_str(&section(key));
    }
    page
}

fn section(key: &Key) -> String {
    let default = match (key.path, key.default) {
        ("node", _) => "the host's name".to_owned(),
        (_, "") => "none".to_owned(),
        (_, text) => format!("`{text}`"),
    };
    let mut variables = vec![format!("`{}`", key.variable())];
    variables.extend(key.originals().map(|name| format!("`{name}`")));
    let why = if key.why.is_empty() {
        String::new()
    } else {
        format!(" {}", key.why)
    };
    format!(
        "\n### `{}`\n{}.\n\n- flag `--{} {}`{}, variable {}\n- default: {default}.{why}\n- accepted: {}\n",
        key.path,
        key.help,
        key.flag(),
        key.value,
        if key.is_repeatable() { " (repeatable)" } else { "" },
        variables.join(", or "),
        key.accepted,
    )
}

const HEAD: &str = "# Configuration of the agent
<!-- Printed by `dt config reference`; a test compares. -->

Every key has a name in the TOML file, an environment variable and a flag. Layers, the lowest first:

1. defaults
2. the file of `--config FILE` (or `DT_CONFIG`); unknown keys are refused
3. the environment variables of the Go original, and `RUST_LOG`
4. `DT_` variables; an unknown one is warned about, never an error
5. flags

`dt config check` reports every error of every layer at once, each with its key, value, origin and what is accepted, and
exits with 2. `dt config show` prints each key's effective value and where it came from: `default`, `file`, the
variable's name, `flag`, or `kafka.options_file`. Its output is TOML.

- A value that a higher layer overrides is checked all the same.
- `interval` and `timeout` set those of every kind of probe. Within one layer the kind's own wins (`grpc.interval` over
  `interval`); between layers the higher one wins, so `--interval 200ms` holds for gRPC too whatever the file says.
- An empty variable counts as not set. To turn HTTP off by a variable: `DT_HTTP=off`.
- Durations are a number with a unit (ns, us, ms, s, m, h), as in `200ms`, `0.5s` or `10s`; only `0` needs no unit.
- In variables lists are comma-separated. In the file they are arrays or such strings; a flag may be repeated.
- Dotted keys are tables in the file: `icmp.interval` is `interval` under `[icmp]`. `-` and `_` are the same in names.
- `SINK_PATH`, a variable of the original without effect there, is ignored with a warning.
";
