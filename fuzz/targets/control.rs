//! What the kernel hands over beside a packet, and the IP headers around packets that come back.

use std::net::{IpAddr, SocketAddr};

use dt_kernel::{Family, Queued, StampKey, internals};

use crate::input::Input;
use crate::memory::none;

/// Where `part` lies in `whole`.
///
/// # Panics
/// Where it doesn't.
fn place(whole: &[u8], part: &[u8]) -> usize {
    let at = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize).unwrap();
    assert!(at + part.len() <= whole.len(), "bytes from outside of the message");
    at
}

/// Control messages, entries of the error queue, IP headers.
///
/// # Panics
/// Where something is read that isn't there, or isn't what was written.
pub fn fuzz_control(data: &[u8]) {
    let mut input = Input::new(data);
    let options = input.u8();
    let family = if options & 1 == 0 { Family::V4 } else { Family::V6 };
    let protocol = if options & 2 == 0 { 1 } else { 6 };
    let keyed = options & 4 == 0;
    let name_length = usize::from(input.u8() % 32);
    let name = input.bytes(name_length);
    let control_length = usize::from(input.u8());
    let control = input.bytes(control_length);
    let bytes = input.rest();

    messages(control);
    none(|| internals::received_control(control));
    match none(|| internals::queued(family, keyed, bytes, name, control)) {
        Queued::TxStamp { key, stamp, .. } => {
            assert!(stamp.0 > 0);
            sent(bytes, keyed, key);
        }
        Queued::CardStamp { key, stamp } => {
            assert!(stamp.0 > 0);
            sent(bytes, keyed, key);
        }
        Queued::IcmpError {
            bytes: quoted,
            destination,
            ..
        } => {
            assert_eq!(quoted, bytes);
            assert_eq!(Some(destination), internals::socket_address(name));
        }
        Queued::Other => {}
    }
    address(&mut Input::new(name));
    headers(bytes, family, protocol);
    framed(options, bytes);
}

fn sent(bytes: &[u8], keyed: bool, key: StampKey<'_>) {
    match key {
        StampKey::Id(_) => assert!(keyed),
        StampKey::Packet { bytes: packet, .. } => {
            assert!(!keyed);
            place(bytes, packet);
        }
    }
}

/// What was read is what stands there, and written anew reads the same.
fn messages(control: &[u8]) {
    let read: Vec<_> = internals::control_messages(control).collect();
    assert!(read.len() <= control.len() / 16 + 1);
    let mut again = Vec::new();
    for (level, kind, data) in &read {
        place(control, data);
        again.extend(internals::control_message(*level, *kind, data));
    }
    let reread: Vec<_> = internals::control_messages(&again).collect();
    assert_eq!(reread, read);
}

fn address(input: &mut Input<'_>) {
    let address: IpAddr = if input.flag() {
        input.u32().to_be_bytes().into()
    } else {
        (u128::from(input.u64()) << 64 | u128::from(input.u64()))
            .to_be_bytes()
            .into()
    };
    let raw = internals::raw_address(SocketAddr::new(address, 7));
    assert_eq!(internals::socket_address(&raw), Some(address));
}

fn headers(bytes: &[u8], family: Family, protocol: u8) {
    if let Some(transport) = none(|| internals::strip_ipv4(bytes, protocol)) {
        assert!(bytes[0] >> 4 == 4 && bytes[9] == protocol);
        let at = place(bytes, transport);
        assert_eq!(at, usize::from(bytes[0] & 15) * 4);
        assert!(at >= 20);
        let total = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        assert_eq!(at + transport.len(), total);
    }
    if let Some((destination, transport)) = none(|| internals::find_sent(bytes, family, protocol)) {
        place(bytes, transport);
        assert_eq!(Family::of(destination), family);
    }
}

/// `payload` in an IPv4 packet with options, behind a link header of zeros: it is found, and no part of it is taken for it.
fn framed(options: u8, payload: &[u8]) {
    let link = usize::from(options >> 3);
    let words = 5 + usize::from(options & 7);
    let Ok(total) = u16::try_from(words * 4 + payload.len()) else {
        return;
    };
    let mut packet = vec![0; words * 4];
    packet[0] = 0x40 | words as u8;
    packet[2..4].copy_from_slice(&total.to_be_bytes());
    (packet[8], packet[9]) = (64, 1);
    packet[12..20].copy_from_slice(&[10, 0, 0, 1, 10, 0, 0, 2]);
    let sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend(payload);
    assert_eq!(internals::strip_ipv4(&packet, 1), Some(payload));
    // Link headers of other lengths than Ethernet's are found by trying: only the first place is sure.
    let mut frame = vec![0; if link % 2 == 0 { 14 } else { 0 }];
    let is_ethernet = !frame.is_empty();
    frame.extend(&packet);
    let found = internals::find_sent(&frame, Family::V4, 1).unwrap();
    assert!(!is_ethernet || found == ("10.0.0.2".parse().unwrap(), payload));
}
