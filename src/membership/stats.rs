//! What happened so far, counted.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])+ $name:ident),+ $(,)?) => {
        /// Counters since the start. All but `members_*` and `nodes_*` only grow.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Stats {
            $($(#[$doc])+ pub $name: u64),+
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: Counter),+
        }

        impl Counters {
            pub(crate) fn snapshot(&self) -> Stats {
                Stats { $($name: self.$name.get()),+ }
            }
        }
    };
}

counters! {
    /// Entries skipped because their data makes no member; each is counted once.
    malformed,
    /// ZooKeeper sessions opened.
    sessions,
    /// Sessions that ended against our will.
    expirations,
    /// Attempts to open a session that failed.
    connect_failures,
    /// Entries of one's own created.
    registrations,
    /// Full lists of the members read.
    relists,
    /// Data of single members read.
    reads,
    /// Notifications of watches received.
    events,
    /// Requests about the members that failed for another reason than a lost connection.
    failures,
    /// Requests and logins that were denied for the credential that is used, or for lack of one.
    denied,
    /// Times that members vanished in such number that they were kept for a while.
    mass_vanishes,
    /// Entries ignored because there are more than can be kept.
    ignored,
    /// Versions of the peers file that were refused, or could not be read.
    refused_files,
    /// Versions of the peers file that were taken over.
    loaded_files,
    /// Entries at the moment whose data makes no member.
    members_malformed,
    /// Entries at the moment left out because a newer one has the same address or name.
    members_twins,
    /// Members at the moment in the view although they vanished.
    members_kept,
    /// Nodes that all agents share, to which anyone had more rights than he is to have when they were last looked at.
    nodes_exposed,
    /// Nodes that all agents share, to which the credential had not all rights when they were last looked at.
    nodes_foreign,
}

#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(crate) fn set(&self, n: usize) {
        self.0.store(n as u64, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
