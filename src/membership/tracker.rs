//! What is known of each entry under the members' path. No I/O: lists, notifications and data go in, the names to read
//! and the members come out.
//!
//! Lists and notifications may be handled in another order than the server sent them. [`Tracker::mark`] is therefore
//! called before a list is asked for, and the list then says nothing about names that were added after it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::data;
use crate::member::{Member, Registration, State, own_entry};

/// Most entries kept in mind. Ten times the largest mesh this is built for; names beyond are ignored.
const MAX_ENTRIES: usize = 100_000;

#[derive(Debug)]
enum Known {
    Unread,
    Member { member: Arc<Member>, created: i64 },
    Malformed,
}

#[derive(Debug)]
struct Entry {
    known: Known,
    added: u64,
}

/// The members that the entries make.
#[derive(Debug, Default)]
pub(crate) struct Registered {
    /// By key; one's own are left out.
    pub(crate) members: BTreeMap<String, Arc<Member>>,
    /// Entries left out because a newer one has the same address or name.
    pub(crate) twins: usize,
    /// Entries whose data makes no member.
    pub(crate) malformed: usize,
    /// Entries that bear one's own node name at another address.
    pub(crate) namesakes: Vec<Arc<Member>>,
}

/// What is known of each entry, by its name.
#[derive(Debug)]
pub(crate) struct Tracker {
    own: Registration,
    entries: HashMap<String, Entry>,
    clock: u64,
    ignored: u64,
}

impl Tracker {
    pub(crate) fn new(own: Registration) -> Self {
        Tracker {
            own,
            entries: HashMap::new(),
            clock: 0,
            ignored: 0,
        }
    }

    /// The moment before a list is asked for.
    pub(crate) fn mark(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// A complete list of names, asked for at `mark`. Returns the names whose data is to be read: those not read yet,
    /// and those not serving, since a notification of their change may have been lost with a connection.
    pub(crate) fn listed(&mut self, mark: u64, names: Vec<String>) -> Vec<String> {
        let listed: HashSet<&str> = names.iter().map(String::as_str).collect();
        self.entries
            .retain(|name, entry| entry.added >= mark || listed.contains(name.as_str()));
        for name in &names {
            self.created(name);
        }
        names.into_iter().filter(|name| self.wants_reading(name)).collect()
    }

    /// Whether the entry is to be read although nothing tells of a change: it hasn't been yet, or it isn't serving.
    pub(crate) fn wants_reading(&self, name: &str) -> bool {
        match self.entries.get(name).map(|entry| &entry.known) {
            Some(Known::Unread) => true,
            Some(Known::Member { member, .. }) => member.state != State::Serving,
            Some(Known::Malformed) | None => false,
        }
    }

    /// The names of all entries that were read. What is there may be another by now, where notifications were lost.
    pub(crate) fn read_names(&self) -> Vec<String> {
        let read = |(name, entry): (&String, &Entry)| (!matches!(entry.known, Known::Unread)).then(|| name.clone());
        self.entries.iter().filter_map(read).collect()
    }

    /// An entry came. Returns whether it is new.
    pub(crate) fn created(&mut self, name: &str) -> bool {
        if self.entries.contains_key(name) {
            return false;
        }
        if self.entries.len() >= MAX_ENTRIES {
            self.ignored += 1;
            return false;
        }
        self.entries.insert(
            name.to_owned(),
            Entry {
                known: Known::Unread,
                added: self.clock,
            },
        );
        true
    }

    /// An entry went.
    pub(crate) fn deleted(&mut self, name: &str) {
        self.entries.remove(name);
    }

    /// The data of an entry, and its creation's place in the order of all of the service's changes. An error tells why
    /// the data makes no member, once for each entry; else, whether that is anything new.
    pub(crate) fn read(&mut self, name: &str, created: i64, bytes: &[u8]) -> Result<bool, String> {
        let Some(entry) = self.entries.get_mut(name) else {
            return Ok(false);
        };
        match data::decode(bytes) {
            Ok(member) => {
                // The same allocation stays in use where nothing changed.
                let is_new = !matches!(&entry.known, Known::Member { member: known, .. } if **known == member);
                if is_new {
                    entry.known = Known::Member {
                        member: Arc::new(member),
                        created,
                    };
                }
                Ok(is_new)
            }
            Err(why) => Self::malformed(entry, why).map(|()| true),
        }
    }

    /// The data of an entry can't be had, for good. A member that was read before stays known: that is about our rights, not
    /// about the member.
    pub(crate) fn unreadable(&mut self, name: &str, why: String) -> Result<(), String> {
        match self.entries.get_mut(name) {
            Some(entry) if !matches!(entry.known, Known::Member { .. }) => Self::malformed(entry, why),
            _ => Ok(()),
        }
    }

    fn malformed(entry: &mut Entry, why: String) -> Result<(), String> {
        let known = matches!(entry.known, Known::Malformed);
        entry.known = Known::Malformed;
        if known { Ok(()) } else { Err(why) }
    }

    /// Whether the entry is known.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many entries were ignored so far because there are too many.
    pub(crate) fn ignored(&self) -> u64 {
        self.ignored
    }

    /// The members that the entries make. Of entries with the same address and port, or the same name, the newest
    /// counts: the others are what is left of ended processes until their sessions end, too.
    pub(crate) fn registered(&self) -> Registered {
        let mut all: Vec<(i64, &String, &Arc<Member>)> = Vec::with_capacity(self.entries.len());
        let mut out = Registered::default();
        for (name, entry) in &self.entries {
            match &entry.known {
                Known::Member { member, created } => all.push((*created, name, member)),
                Known::Malformed => out.malformed += 1,
                Known::Unread => {}
            }
        }
        all.sort_unstable_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)));
        let mut places = HashSet::with_capacity(all.len());
        for (_, _, member) in all {
            if own_entry(&self.own, member) {
                if member.node == self.own.node && member.boot_id != self.own.boot_id {
                    out.namesakes.push(Arc::clone(member));
                }
                continue;
            }
            let place = member.place();
            if places.contains(&place) || out.members.contains_key(member.key()) {
                out.twins += 1;
                continue;
            }
            places.insert(place);
            out.members.insert(member.key().to_owned(), Arc::clone(member));
        }
        out
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
