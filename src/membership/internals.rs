//! For fuzzing, behind the feature of the same name: what reads the bytes of others.

use crate::member::{Member, Registration, State};
use crate::peers::Fault;
use crate::{data, peers, zookeeper};

/// The member that a znode's data describes, or why it describes none.
///
/// # Errors
/// Why it describes none.
pub fn member(data: &[u8]) -> Result<Member, String> {
    data::decode(data)
}

/// The data that registers an agent.
///
/// # Errors
/// Never, as far as is known.
pub fn registration(own: &Registration, state: State) -> Result<Vec<u8>, String> {
    data::encode(own, state).map_err(|error| error.to_string())
}

/// The peers that a file of this text lists.
///
/// # Errors
/// Everything that is wrong with it.
pub fn peers(text: &str) -> Result<Vec<Member>, Vec<Fault>> {
    peers::parse(text)
}

/// Whether the data of the kill switch turns probing on.
///
/// # Errors
/// Why it says neither.
pub fn switch(data: &[u8]) -> Result<bool, String> {
    zookeeper::switch(data)
}
