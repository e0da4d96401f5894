//! What the network does to packets, written without the code under test.

use rand::Rng;
use rand::rngs::SmallRng;

pub(crate) fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) * 256 + u32::from(*pair.get(1).unwrap_or(&0)))
        .sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn set_checksum(bytes: &mut [u8]) {
    bytes[2..4].fill(0);
    let sum = checksum(bytes);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
}

pub(crate) fn echo_reply(request: &[u8]) -> Vec<u8> {
    let mut reply = request.to_vec();
    match reply[0] {
        8 => {
            assert_eq!(checksum(request), 0, "a request with a wrong checksum");
            reply[0] = 0;
            set_checksum(&mut reply);
        }
        128 => reply[0] = 129,
        other => panic!("type {other} is no echo request"),
    }
    reply
}

pub(crate) fn syn_answer(syn: &[u8], reset: bool) -> Vec<u8> {
    assert_eq!(syn[13], 0x02, "flags of a SYN");
    let isn = u32::from_be_bytes(syn[4..8].try_into().unwrap());
    let mut answer = vec![0; 20];
    answer[0..2].copy_from_slice(&syn[2..4]);
    answer[2..4].copy_from_slice(&syn[0..2]);
    answer[4..8].copy_from_slice(&0xdead_beef_u32.to_be_bytes());
    answer[8..12].copy_from_slice(&isn.wrapping_add(1).to_be_bytes());
    answer[12] = 5 << 4;
    answer[13] = if reset { 0x14 } else { 0x12 };
    answer
}

/// A packet like `genuine` that no probe may accept.
pub(crate) fn forge(rng: &mut SmallRng, genuine: &[u8], echo: bool) -> Vec<u8> {
    let mut packet = genuine.to_vec();
    match rng.random_range(0..4) {
        0 => packet.truncate(rng.random_range(0..if echo { 24 } else { 20 })),
        1 => rng.fill(packet.as_mut_slice()),
        _ if echo => {
            // Anything but the checksum, which a forger would set right.
            let place = [0, 1, 4, 5, 6, 7, 8, 13, 15, 16, 20, 23][rng.random_range(0..12)];
            packet[place] ^= 1 << rng.random_range(0..8);
            if genuine[0] == 0 {
                set_checksum(&mut packet);
            }
        }
        _ => {
            let place = [0, 1, 2, 3, 8, 9, 10, 11][rng.random_range(0..8)];
            packet[place] ^= 1 << rng.random_range(0..8);
        }
    }
    packet
}
