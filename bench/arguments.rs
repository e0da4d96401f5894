//! The command lines of the programs here: `--name VALUE` in any order, and words without a name.

use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::{Failure, Result, doing};

/// What a program was called with. Each option is taken out as it is read; [`finish`](Arguments::finish) complains about
/// what is left.
#[derive(Debug)]
pub struct Arguments {
    help: &'static str,
    named: Vec<(String, String)>,
    bare: Vec<String>,
}

impl Arguments {
    /// Reads `words`; prints `help` and gives `None` where they ask for it.
    ///
    /// # Errors
    /// Where an option lacks its value.
    pub fn read(help: &'static str, mut words: impl Iterator<Item = String>) -> Result<Option<Arguments>> {
        let (mut named, mut bare) = (Vec::new(), Vec::new());
        while let Some(word) = words.next() {
            if matches!(word.as_str(), "-h" | "--help") {
                println!("{help}");
                return Ok(None);
            }
            if word.starts_with('-') {
                let value = words
                    .next()
                    .ok_or_else(|| Failure(format!("{word}: a value is missing\n{help}")))?;
                named.push((word, value));
            } else {
                bare.push(word);
            }
        }
        Ok(Some(Arguments { help, named, bare }))
    }

    /// The option's value, the last one where it is given more than once.
    fn take(&mut self, name: &str) -> Option<String> {
        let value = self
            .named
            .iter()
            .rfind(|(given, _)| given == name)
            .map(|(_, value)| value.clone());
        self.named.retain(|(given, _)| given != name);
        value
    }

    /// A number.
    ///
    /// # Errors
    /// Where it isn't one of those accepted.
    pub fn number(&mut self, name: &str, default: u32, accepted: RangeInclusive<u32>) -> Result<u32> {
        let Some(value) = self.take(name) else {
            return Ok(default);
        };
        let number = value.parse().ok().filter(|number| accepted.contains(number));
        number.ok_or_else(|| {
            let (least, most) = (accepted.start(), accepted.end());
            Failure(format!("{name} {value}: accepted are numbers from {least} to {most}"))
        })
    }

    /// Where `dt` is: `--dt PATH`, or beside this program.
    ///
    /// # Errors
    /// Where there is none.
    pub fn dt(&mut self) -> Result<PathBuf> {
        let here = std::env::current_exe().map_err(doing("find this program's folder"))?;
        let dt = self
            .take("--dt")
            .map_or_else(|| here.with_file_name("dt"), PathBuf::from);
        if dt.is_file() {
            // Programs are started in other folders too.
            dt.canonicalize().map_err(doing(&format!("find {}", dt.display())))
        } else {
            Err(Failure(format!(
                "there is no {}: build it by `cargo build --release --bin dt`, or name it by --dt",
                dt.display()
            )))
        }
    }

    /// The words without a name, each one of `accepted`; all of these where there are none.
    ///
    /// # Errors
    /// Where there is an option that nobody read, or a word that isn't accepted.
    pub fn finish(self, accepted: &[&'static str]) -> Result<Vec<&'static str>> {
        let help = self.help;
        if let Some((name, _)) = self.named.first() {
            return Err(Failure(format!("{name}: unknown option\n{help}")));
        }
        if self.bare.is_empty() {
            return Ok(accepted.to_vec());
        }
        let known = |word: &String| {
            let known = accepted.iter().find(|accepted| *accepted == word);
            known
                .copied()
                .ok_or_else(|| Failure(format!("{word}: unknown argument\n{help}")))
        };
        self.bare.iter().map(known).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(line: &str) -> Arguments {
        let words = line.split_whitespace().map(str::to_owned);
        Arguments::read("HELP", words).unwrap().unwrap()
    }

    #[test]
    fn options_are_read_in_any_order() {
        let mut given = arguments("memory --rounds 3 growth --rounds 5");
        assert_eq!(given.number("--rounds", 7, 1..=9).unwrap(), 5);
        assert_eq!(given.number("--targets", 7, 1..=9).unwrap(), 7);
        assert_eq!(
            given.finish(&["growth", "memory", "paced"]).unwrap(),
            ["memory", "growth"]
        );
        assert_eq!(arguments("").finish(&["a", "b"]).unwrap(), ["a", "b"]);
    }

    #[test]
    fn what_is_not_accepted_is_named() {
        let error = arguments("--rounds ten").number("--rounds", 7, 1..=9).unwrap_err();
        assert_eq!(error.to_string(), "--rounds ten: accepted are numbers from 1 to 9");
        let error = arguments("--round 3").finish(&[]).unwrap_err();
        assert_eq!(error.to_string(), "--round: unknown option\nHELP");
        let error = arguments("grwth").finish(&["growth"]).unwrap_err();
        assert_eq!(error.to_string(), "grwth: unknown argument\nHELP");
        let words = ["--rounds".to_owned()].into_iter();
        let error = Arguments::read("HELP", words).unwrap_err();
        assert_eq!(error.to_string(), "--rounds: a value is missing\nHELP");
        let error = arguments("--dt /nowhere/dt").dt().unwrap_err();
        assert!(
            error.to_string().starts_with("there is no /nowhere/dt: build it"),
            "{error}"
        );
    }
}
