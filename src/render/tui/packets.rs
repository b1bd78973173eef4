//! The last replies of one hop, decoded, and the bytes of the latest.

use super::model::Target;
use super::moment::clock;
use super::state::UiState;
use super::{Packet, detail};
use crate::render::extension::spaced;

/// Bytes on a line.
const WIDTH: usize = 16;

/// The replies, the latest first, then its bytes.
pub fn lines(target: &Target, state: &UiState) -> Vec<String> {
    let packets = target.row(state).and_then(|(_, row)| target.packets.get(&Some(row.ttl)));
    let Some(packets) = packets.filter(|packets| !packets.is_empty()) else {
        return vec!["nothing was received of it".to_owned()];
    };
    let mut lines: Vec<_> = packets.iter().rev().flat_map(of_packet).collect();
    if let Some(latest) = packets.back() {
        let len = latest
            .reply
            .len
            .map_or_else(|| "reconstructed,".to_owned(), |len| format!("{len} bytes"));
        lines.push(format!("the latest, {len} from its IP header on:"));
        lines.extend(dump(&latest.bytes));
    }
    lines
}

fn of_packet(packet: &Packet) -> [String; 2] {
    let Packet { round, reply, .. } = packet;
    let at = clock(reply.at);
    // An address: that is what is in the packet.
    let who = reply.responder;
    let id = reply.ip_id.map_or_else(String::new, |id| format!(", IP-ID {id:#06x}"));
    let duplicate = if reply.duplicate { ", duplicate" } else { "" };
    let (frame, ttl, tos) = (reply.frame, reply.ttl, reply.tos);
    let len = reply.len.map_or_else(|| "reconstructed".to_owned(), |len| format!("{len} bytes"));
    [
        format!("{at}  {who}: {}", detail::said(reply)),
        format!(
            "          round {round}, frame {frame}, {len}, TTL {ttl}, TOS {tos:#04x}{id}{duplicate}"
        ),
    ]
}

/// Offset, hexadecimal, and what of it is ASCII.
fn dump(bytes: &[u8]) -> impl Iterator<Item = String> {
    bytes.chunks(WIDTH).enumerate().map(|(number, chunk)| {
        let plain = |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' };
        let text: String = chunk.iter().map(plain).collect();
        format!("{:04x}  {:<47}  {text}", number * WIDTH, spaced(chunk))
    })
}
