//! Packets as they are on the wire, from the transport header onward. Writing can't fail but for room; reading is
//! total: whatever the bytes, the answer is a checked value or nothing.

pub(crate) mod icmp;
pub(crate) mod tcp;
