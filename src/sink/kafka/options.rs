//! Options of the client from a file, as a secret that is mounted: `NAME=VALUE` lines. The file, and those with certificates
//! and keys that options name, are looked at again and again: what changes is for a new client.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::settings::{check_option, looks_like_option};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(2);
/// When files that could not be used are tried again, where no change is seen: what was wrong may be no part of them.
const TRY_AGAIN: Duration = Duration::from_secs(60);
/// A thousand times what all options take.
const LONGEST: u64 = 1 << 20;

/// Why there are no options in a file. Values are never repeated: they may be secrets.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// The file can't be read.
    #[error("{}: {error}", path.display())]
    File {
        /// As configured.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// A line of it.
    #[error("{}: line {line}: {why}", path.display())]
    Line {
        /// As configured.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        why: String,
    },
}

/// The options in a file: one a line, `#` begins a comment, blanks around name and value don't count.
///
/// # Errors
/// A file that can't be read, a line that is no option, an option that the client doesn't know or that isn't for others to
/// set.
pub fn read_options(path: &Path) -> Result<BTreeMap<String, String>, OptionsError> {
    let text = text(path).map_err(|error| OptionsError::File {
        path: path.to_owned(),
        error,
    })?;
    let mut options = BTreeMap::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |why: String| OptionsError::Line {
            path: path.to_owned(),
            line: index + 1,
            why,
        };
        let (name, value) = line.split_once('=').ok_or_else(|| wrong("it has no '='".to_owned()))?;
        let (name, value) = (name.trim(), value.trim());
        if !looks_like_option(name) {
            // It may be a line of a key, which ends with '='.
            return Err(wrong("what is before its '=' is not an option's name".to_owned()));
        }
        check_option(name, value).map_err(wrong)?;
        options.insert(name.to_owned(), value.to_owned());
    }
    Ok(options)
}

fn text(path: &Path) -> std::io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(LONGEST + 1).read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(std::io::Error::other(format!("more than {LONGEST} bytes")));
    }
    Ok(text)
}

/// By what a file's version is known: device, inode, length, and when content and anything else of it were last changed. The
/// last alone tells of rights that were mended, and of a content of the same length whose time was set back.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version(Option<([u64; 3], [i64; 4])>);

impl Version {
    fn of(path: &Path) -> Version {
        let of = |metadata: Metadata| {
            let which = [metadata.dev(), metadata.ino(), metadata.len()];
            let modified = (metadata.mtime(), metadata.mtime_nsec());
            let changed = (metadata.ctime(), metadata.ctime_nsec());
            (which, [modified.0, modified.1, changed.0, changed.1])
        };
        Version(std::fs::metadata(path).ok().map(of))
    }
}

/// The options of a client, and whether they are still what its files say.
#[derive(Debug)]
pub(super) struct Followed {
    given: BTreeMap<String, String>,
    file: Option<PathBuf>,
    /// What is looked at, each with the version that the present client has seen.
    files: Vec<(PathBuf, Version)>,
    /// What was seen at the last look: files are replaced one after the other, so a change is taken over once nothing has
    /// changed from one look to the next.
    last: Vec<Version>,
    look: Instant,
    /// Set while what was read last can't be used.
    again: Option<Instant>,
    /// Whether it was told that these versions can't be used.
    told: bool,
}

impl Followed {
    /// Both at once: the file's win over those `given`.
    ///
    /// # Errors
    /// As [`read_options`].
    pub(super) fn new(
        given: BTreeMap<String, String>,
        file: Option<PathBuf>,
    ) -> Result<(Followed, BTreeMap<String, String>), OptionsError> {
        let mut followed = Followed {
            given,
            file,
            files: Vec::new(),
            last: Vec::new(),
            look: Instant::now() + LOOK,
            again: None,
            told: false,
        };
        let options = followed.read()?;
        Ok((followed, options))
    }

    /// Reads anew. Versions are taken before: what changes meanwhile is seen as a change.
    fn read(&mut self) -> Result<BTreeMap<String, String>, OptionsError> {
        let file = self.file.iter().map(|path| (path.clone(), Version::of(path)));
        let mut files: Vec<_> = file.collect();
        let mut options = self.given.clone();
        let read = match &self.file {
            Some(path) => read_options(path).map(|more| options.extend(more)),
            None => Ok(()),
        };
        let named = options.iter().filter(|(name, _)| name.ends_with(".location"));
        // `probe` stands for wherever the system has its certificates.
        let named = named.filter(|(_, value)| value.as_str() != "probe");
        files.extend(named.map(|(_, value)| (PathBuf::from(value), Version::of(Path::new(value)))));
        self.last = files.iter().map(|(_, version)| version.clone()).collect();
        self.files = files;
        read.map(|()| options)
    }

    /// The options as they are now, where a file has changed and isn't changing any more, or where it is time to try again
    /// what was [refused](Self::refused).
    pub(super) fn changed(&mut self, now: Instant) -> Option<Result<BTreeMap<String, String>, OptionsError>> {
        if now < self.look || self.files.is_empty() {
            return None;
        }
        self.look = now + LOOK;
        let seen: Vec<_> = self.files.iter().map(|(path, _)| Version::of(path)).collect();
        let differs = self.files.iter().zip(&seen).any(|((_, known), seen)| known != seen);
        let is_due = differs || self.again.is_some_and(|again| now >= again);
        if is_due && seen == self.last {
            self.again = None;
            self.told &= !differs;
            return Some(self.read());
        }
        self.last = seen;
        None
    }

    /// What was read last can't be used. Whether that is news: it is told once for each version.
    pub(super) fn refused(&mut self, now: Instant) -> bool {
        self.again = Some(now + TRY_AGAIN);
        !std::mem::replace(&mut self.told, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(text: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("options");
        std::fs::write(&path, text).unwrap();
        (folder, path)
    }

    #[test]
    fn lines_become_options() {
        let (_folder, path) = folder("# a comment\n\nlinger.ms = 7\r\nsasl.password=a=b, c \n");
        let options = read_options(&path).unwrap();
        let wanted = [("linger.ms", "7"), ("sasl.password", "a=b, c")];
        assert_eq!(
            options,
            wanted.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
        );
    }

    #[test]
    fn what_is_wrong_is_named_and_no_value_is() {
        for (text, line, why) in [
            ("linger.ms=1\nhush\n", "line 2", "no '='"),
            ("no.such.option=hush", "line 1", "no.such.option"),
            ("acks=hush", "line 1", "can't be changed"),
            ("linger.ms=1\n =hush", "line 2", "not an option's name"),
            ("hush/Yz9+hush==", "line 1", "not an option's name"),
            ("linger.ms=1\n\nhush=", "line 3", "not an option's name"),
            (".hush=", "line 1", "not an option's name"),
        ] {
            let (_folder, path) = folder(text);
            let error = read_options(&path).unwrap_err().to_string();
            let is_named = error.contains(line) && error.contains(why) && error.contains("options");
            assert!(is_named && !error.contains("hush"), "{error}");
        }
        let error = read_options(Path::new("/no/such/file")).unwrap_err().to_string();
        assert!(error.starts_with("/no/such/file: "), "{error}");
        let error = read_options(Path::new("/dev/zero")).unwrap_err().to_string();
        assert!(error.contains("bytes"), "{error}");
    }

    #[test]
    fn a_change_is_taken_over_once_it_has_ended() {
        let (folder, path) = folder("linger.ms=1\n");
        let authority = folder.path().join("ca.crt");
        let given = [
            ("ssl.ca.location".to_owned(), authority.to_string_lossy().into_owned()),
            ("linger.ms".to_owned(), "9".to_owned()),
        ];
        let (mut followed, options) = Followed::new(given.into(), Some(path.clone())).unwrap();
        assert_eq!(options["linger.ms"], "1", "the file wins");
        let mut now = Instant::now();
        let mut look = || {
            now += LOOK;
            followed.changed(now)
        };
        assert!(look().is_none());
        std::fs::write(&path, "linger.ms=22\n").unwrap();
        assert!(look().is_none(), "it may be changing still");
        assert_eq!(look().unwrap().unwrap()["linger.ms"], "22");
        assert!(look().is_none());
        std::fs::write(&authority, "another").unwrap();
        assert!(look().is_none());
        assert!(look().unwrap().is_ok(), "a file that an option names");
        std::fs::remove_file(&path).unwrap();
        assert!(look().is_none());
        assert!(look().unwrap().is_err());
    }

    #[test]
    fn what_is_refused_is_told_of_once_and_tried_again() {
        let (_folder, path) = folder("linger.ms=1\n");
        let (mut followed, _) = Followed::new(BTreeMap::new(), Some(path.clone())).unwrap();
        let mut now = Instant::now();
        std::fs::write(&path, "linger.ms").unwrap();
        let told: Vec<_> = (0..100)
            .filter_map(|_| {
                now += LOOK;
                followed.changed(now).map(|read| {
                    assert!(read.is_err());
                    followed.refused(now)
                })
            })
            .collect();
        // 200 seconds: at once, and after each minute.
        assert_eq!(told, [true, false, false, false]);
        // Others that are wrong.
        std::fs::write(&path, "linger.ms=1\nlinger").unwrap();
        now += LOOK;
        assert!(followed.changed(now).is_none());
        now += LOOK;
        assert!(followed.changed(now).unwrap().is_err());
        assert!(followed.refused(now), "another version");
        std::fs::write(&path, "linger.ms=333\n").unwrap();
        now += LOOK;
        assert!(followed.changed(now).is_none());
        now += LOOK;
        assert_eq!(followed.changed(now).unwrap().unwrap()["linger.ms"], "333");
        now += 2 * TRY_AGAIN;
        assert!(followed.changed(now).is_none(), "it was not refused");
    }

    #[test]
    fn a_content_of_the_same_length_and_time_is_a_change() {
        let (_folder, path) = folder("linger.ms=1\n");
        let modified = std::fs::metadata(&path).unwrap().modified().unwrap();
        let (mut followed, _) = Followed::new(BTreeMap::new(), Some(path.clone())).unwrap();
        let before = Version::of(&path);
        // The clock of files moves in steps: what is changed within the same one looks as before, so it is changed again.
        let is_seen = (0..1_000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            std::fs::write(&path, "linger.ms=2\n").unwrap();
            File::options()
                .write(true)
                .open(&path)
                .unwrap()
                .set_modified(modified)
                .unwrap();
            Version::of(&path) != before
        });
        assert!(is_seen);
        let now = Instant::now();
        assert!(followed.changed(now + LOOK).is_none());
        let options = followed.changed(now + 2 * LOOK).unwrap().unwrap();
        assert_eq!(options["linger.ms"], "2");
    }
}
