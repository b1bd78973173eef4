//! What a router does with a datagram that is not for itself, and what it says of it.
//!
//! RFC 1812 §5.2 and §5.3.1, RFC 8200 §3 and RFC 4443 §3: an ICMP error quotes the datagram as it
//! arrived. What is appended to the quote follows RFC 4884, where the type of the message allows it.

use super::START;
use super::datagram::{ICMP_HEADER, put};
use super::family::{Rules, Word};
use super::node::{Advice, Expiry, Node, Unreachable};
use super::transit::Transit;

/// An ICMP error in the making: type, code, and bytes 4 to 7.
#[derive(Clone, Copy, Debug)]
pub(super) struct Refusal {
    word: Word,
    rest: [u8; 4],
}

/// What becomes of a datagram at a place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Fate {
    /// It goes on to the next.
    Forwarded,
    /// It is forwarded, and this error is sent.
    Advised(Refusal),
    Lost,
    /// It ends here with this ICMP error.
    Refused(Refusal),
    /// It is for the host here.
    Delivered,
}

impl From<Word> for Refusal {
    fn from(word: Word) -> Self {
        Self { word, rest: [0; 4] }
    }
}

impl Refusal {
    /// A refusal with the MTU of the next hop: RFC 1191 §4 has it in the lower half of where RFC 4443 §3.2 does.
    fn too_big(rules: &Rules, mtu: u32) -> Self {
        Self { word: rules.too_big, rest: mtu.to_be_bytes() }
    }

    /// A refusal with a pointer to the octet at fault (RFC 792; RFC 4443 §3.4).
    pub(super) fn pointing(word: Word, rules: &Rules, pointer: u8) -> Self {
        let mut rest = [0; 4];
        put(&mut rest, rules.pointer_at, &[pointer]);
        Self { word, rest }
    }

    /// The message about this datagram without its checksum, as this node words it.
    pub(super) fn message(mut self, node: &Node, transit: &Transit) -> Vec<u8> {
        let rules = transit.header.rules;
        let extension = Some(&node.extension)
            .filter(|it| !it.objects.is_empty() && rules.multipart.contains(&self.word.0));
        let room = rules.longest_error - rules.header_len - ICMP_HEADER;
        let room = extension.map_or(room, |it| {
            // The quote is padded to whole words, for which there must be room too.
            let left = room.saturating_sub(it.to_bytes().len());
            left - left % rules.family.word_len()
        });
        let quote = transit.quote(node.quote_len(rules.family).unwrap_or(room));
        let Some(extension) = extension else { return self.quoting(&quote) };
        let (payload, words) = extension.append_to(&quote, rules.family);
        put(&mut self.rest, rules.quote_length_at, &[words]);
        self.quoting(&payload)
    }

    /// The message with exactly this after its header.
    pub(super) fn quoting(self, quote: &[u8]) -> Vec<u8> {
        let (icmp_type, code) = self.word;
        [&[icmp_type, code, 0, 0], &self.rest[..], quote].concat()
    }
}

/// What this router does with a datagram that is not for itself.
pub(super) fn judge(node: &Node, transit: &Transit) -> Fate {
    let header = &transit.header;
    let rules = header.rules;
    if let Some(outage) = node.outage.filter(|it| it.is_at(transit.at.since(START))) {
        let refused = |code: Unreachable| (rules.unreachable, code.code(rules.family)).into();
        return outage.unreachable.map_or(Fate::Lost, |code| Fate::Refused(refused(code)));
    }
    let last = match node.expiry {
        Expiry::Answer => header.ttl <= 1,
        Expiry::ForwardZero => header.ttl == 0,
        Expiry::Hidden => false,
    };
    if last {
        return Fate::Refused(rules.expired.into());
    }
    if let Some(code) = node.unreachable {
        return Fate::Refused((rules.unreachable, code.code(rules.family)).into());
    }
    let narrow = node.mtu.filter(|mtu| usize::from(*mtu) < header.total_len);
    if let Some(mtu) = narrow.filter(|_| !header.divisible) {
        if node.mtu_silent {
            return Fate::Lost;
        }
        return Fate::Refused(Refusal::too_big(rules, node.mtu_claim.unwrap_or(mtu.into())));
    }
    node.advice.map_or(Fate::Forwarded, |advice| advise(advice, rules))
}

fn advise(advice: Advice, rules: &Rules) -> Fate {
    let besides = |word: Option<Word>, rest| {
        word.map_or(Fate::Forwarded, |word| Fate::Advised(Refusal { word, rest }))
    };
    match advice {
        Advice::Redirect(gateway) => besides(rules.redirect, gateway.octets()),
        Advice::SourceQuench => besides(rules.quench, [0; 4]),
        Advice::ParameterProblem(octet) => {
            Fate::Refused(Refusal::pointing(rules.parameter, rules, octet))
        }
        Advice::ReassemblyTime => Fate::Refused(rules.reassembly.into()),
        Advice::Icmp { r#type, code } => Fate::Refused((r#type, code).into()),
    }
}

/// The datagram leaves this router.
pub(super) fn leave(node: &Node, transit: &mut Transit) {
    let nat = node.nat.filter(|nat| nat.address.is_ipv4() == transit.header.source.is_ipv4());
    if let Some(nat) = nat {
        transit.translate(nat);
    }
    if let Some(rewrite) = node.rewrite {
        transit.rewrite(rewrite);
    }
    if node.expiry != Expiry::Hidden {
        transit.lower_ttl();
    }
}
