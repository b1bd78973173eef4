//! Decodes one ICMP error with a label stack (RFC 4950): `cargo run --example decode`. It needs no more than `rtrace-core`.

use std::error::Error;

use rtrace_core::wire::{ip, quoted};

/// Time exceeded from 198.51.100.1 about a UDP probe to 203.0.113.9, as a router sends it.
const DATAGRAM: &str = "450000a80001000040010000c6336401c0000202\
    0b00000000200000\
    4500003c000100000111000000000000cb007109d431829a00280000";

/// Prints who sent it and what it quotes.
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let octet = |at: usize| u8::from_str_radix(&DATAGRAM[at..at + 2], 16);
    let bytes = (0..DATAGRAM.len()).step_by(2).map(octet).collect::<Result<Vec<u8>, _>>()?;
    let (header, payload) = ip::decode(&bytes)?;
    let icmp = ip::icmp(header.family(), payload)?;
    let quote = quoted::decode(icmp.body)?;
    println!("{} sends type {} code {}", header.source, icmp.icmp_type, icmp.code);
    println!("about a datagram to {} with TTL {}", quote.header.destination, quote.header.ttl);
    Ok(())
}
