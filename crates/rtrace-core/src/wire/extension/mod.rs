//! Multipart ICMP messages (RFC 4884): what a router appends to the datagram that it quotes.
//!
//! The length field of the ICMP header says where the quote ends and the extension structure begins.
//! Routers older than the RFC leave it 0 and put the structure at byte 128 (§5.5); there it counts only
//! if it vouches for itself, since the same bytes may be part of the quote. Whatever the fields claim,
//! the quote handed on never includes the structure, objects never reach past it, and an object that
//! is not understood is kept as bytes.

mod interface;
mod object;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;

use super::{Layer, WireError, array, checksum};

pub use interface::{InterfaceInformation, Role};
pub use object::{LabelStackEntry, Object};

/// The version of extension structures there is (RFC 4884 §7).
const VERSION: u8 = 2;
/// Length of the structure's header, and of an object's.
const HEADER_LEN: usize = 4;
/// The least length of a quote to which a structure is appended, and the only one before the RFC.
const QUOTE_LEN: usize = 128;
/// More objects than any router sends; a structure with more is made to cost time and memory.
const MAX_OBJECTS: usize = 64;

/// The address family of an ICMP message, which decides how its length field counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// ICMP: 32-bit words.
    V4,
    /// `ICMPv6`: 64-bit words.
    V6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The number of bytes in a unit of the length field (RFC 4884 §4).
    #[must_use]
    pub fn word_len(self) -> usize {
        match self {
            Self::V4 => 4,
            Self::V6 => 8,
        }
    }
}

/// An extension structure (RFC 4884 §7).
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub struct Extension {
    /// Whether the length field led to it; if not, it was found at byte 128.
    pub compliant: bool,
    /// Whether its checksum is right.
    pub checksum: Checksum,
    /// The objects, in order, up to where the list ends.
    pub objects: Vec<Object>,
    /// Why the list ends there.
    pub ending: Ending,
}

/// The state of an extension structure's checksum (RFC 4884 §7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The checksum is right.
    Right,
    /// The router sent no checksum.
    Absent,
    /// The checksum is wrong, or part of the structure is missing: the objects are not reliable.
    Wrong,
}

/// Why a list of objects ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Ending {
    /// The structure ends there.
    Whole,
    /// The next object is not all there, or lies about its length.
    Broken(WireError),
    /// There are more objects than rtrace reads.
    TooMany,
}

/// The quoted datagram in the `payload` that follows an ICMP header, and what is appended to it.
/// `quote_words` is the header's length field (see `quote_words` of the ICMP headers).
///
/// A length field under the 128 bytes that the RFC demands is believed only if the structure it leads
/// to vouches for itself. Where the length field leads to no structure, or is past the end, byte 128
/// is tried as in a message without: some routers count it in other units.
#[must_use]
pub fn quoted_and_extension(
    payload: &[u8],
    quote_words: u8,
    family: Family,
) -> (&[u8], Option<Extension>) {
    let told = usize::from(quote_words) * family.word_len();
    let told = payload.split_at_checked(told).filter(|(quoted, _)| !quoted.is_empty());
    if let Some((quoted, structure)) = told
        && let Some(extension) = Extension::decode(structure, true)
        && (quoted.len() >= QUOTE_LEN || extension.vouches_for_itself(structure))
    {
        return (quoted, Some(extension));
    }
    if let Some((quoted, structure)) = payload.split_at_checked(QUOTE_LEN)
        && let Some(extension) = Extension::decode(structure, false)
        && extension.vouches_for_itself(structure)
    {
        return (quoted, Some(extension));
    }
    let quoted = told.map(|(quoted, _)| quoted).filter(|quoted| quoted.len() >= QUOTE_LEN);
    (quoted.unwrap_or(payload), None)
}

impl Extension {
    /// A structure with these objects, as a router sends it that follows the RFC.
    #[must_use]
    pub const fn of(objects: Vec<Object>) -> Self {
        Self { compliant: true, checksum: Checksum::Right, objects, ending: Ending::Whole }
    }

    /// The structure that `bytes` hold, to their end; `None` if they do not begin like one.
    /// `compliant` is for the caller to know.
    #[must_use]
    pub fn decode(bytes: &[u8], compliant: bool) -> Option<Self> {
        let ([first, _, high, low], body) = bytes.split_first_chunk::<HEADER_LEN>()?;
        if first >> 4 != VERSION {
            return None;
        }
        let checksum = match (u16::from_be_bytes([*high, *low]), checksum::checksum(bytes)) {
            (0, _) => Checksum::Absent,
            (_, 0) => Checksum::Right,
            _ => Checksum::Wrong,
        };
        let (objects, ending) = objects(body);
        Some(Self { compliant, checksum, objects, ending })
    }

    /// Whether the structure may be believed: its checksum is right, or there is none. `traceroute -e`
    /// shows only such.
    #[must_use]
    pub fn credible(&self) -> bool {
        self.checksum != Checksum::Wrong
    }

    /// Whether these `bytes`, which decode to this, are hardly anything but an extension structure.
    fn vouches_for_itself(&self, bytes: &[u8]) -> bool {
        let reserved_zero =
            matches!(bytes, [first, second, ..] if *first == VERSION << 4 && *second == 0);
        match self.checksum {
            Checksum::Right => bytes.len() > HEADER_LEN,
            Checksum::Absent => {
                reserved_zero && self.ending == Ending::Whole && !self.objects.is_empty()
            }
            Checksum::Wrong => false,
        }
    }

    /// The objects of these `bytes`, which decode to this, each with its octets, header included.
    pub fn located<'a>(&self, bytes: &'a [u8]) -> impl Iterator<Item = (&Object, &'a [u8])> {
        let mut rest = bytes.get(HEADER_LEN..).unwrap_or_default();
        self.objects.iter().map_while(move |object| {
            let (_, after) = next_object(rest, 0).ok()?;
            let octets = rest.get(..rest.len() - after.len())?;
            rest = after;
            Some((object, octets))
        })
    }

    /// The structure as it is sent, with a checksum that is what `checksum` says.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION << 4, 0, 0, 0];
        bytes.extend(self.objects.iter().flat_map(Object::to_bytes));
        let sum = match (self.checksum, checksum::checksum(&bytes)) {
            (Checksum::Absent, _) => 0,
            // Sent as 0 it would read as absent; to the sum both are the same.
            (Checksum::Right, 0) => 0xffff,
            (Checksum::Right, right) => right,
            // Neither of these is right nor absent.
            (Checksum::Wrong, 1) => 2,
            (Checksum::Wrong, _) => 1,
        };
        bytes.splice(2..HEADER_LEN, sum.to_be_bytes());
        bytes
    }

    /// What follows the ICMP header in a message with this `quote` and this structure, and the
    /// header's length field. The quote is padded, and cut to what can be said, as RFC 4884 §4 and §5
    /// have it: in the old form to 128 bytes with a length field of 0.
    #[must_use]
    pub fn append_to(&self, quote: &[u8], family: Family) -> (Vec<u8>, u8) {
        let most =
            if self.compliant { usize::from(u8::MAX) * family.word_len() } else { QUOTE_LEN };
        let mut payload = quote.get(..most).unwrap_or(quote).to_vec();
        let padded = payload.len().next_multiple_of(family.word_len()).max(QUOTE_LEN);
        payload.resize(padded, 0);
        payload.extend(self.to_bytes());
        let words = if self.compliant { padded / family.word_len() } else { 0 };
        (payload, u8::try_from(words).unwrap_or(u8::MAX))
    }
}

/// The objects as `traceroute -e` prints them, joined by semicolons.
impl fmt::Display for Extension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        joined(f, ';', &self.objects)
    }
}

/// The objects in `body`, which follows the structure's header (RFC 4884 §8).
fn objects(body: &[u8]) -> (Vec<Object>, Ending) {
    let mut objects = Vec::new();
    let mut rest = body;
    while !rest.is_empty() {
        if objects.len() == MAX_OBJECTS {
            return (objects, Ending::TooMany);
        }
        // Counted from the beginning of the structure.
        let offset = HEADER_LEN + (body.len() - rest.len());
        match next_object(rest, offset) {
            Ok((object, after)) => {
                objects.push(object);
                rest = after;
            }
            Err(error) => return (objects, Ending::Broken(error)),
        }
    }
    (objects, Ending::Whole)
}

fn next_object(rest: &[u8], offset: usize) -> Result<(Object, &[u8]), WireError> {
    let layer = Layer::ExtensionObject;
    let [high, low, class, c_type] =
        array(rest, 0, layer).map_err(|error| WireError { offset, ..error })?;
    let len = usize::from(u16::from_be_bytes([high, low]));
    if len < HEADER_LEN {
        return Err(WireError { layer, offset, needed: HEADER_LEN, have: len });
    }
    let missing = WireError { layer, offset, needed: len, have: rest.len() };
    let (object, after) = rest.split_at_checked(len).ok_or(missing)?;
    Ok((Object::decode(class, c_type, object.get(HEADER_LEN..).unwrap_or_default()), after))
}

/// `items`, one after the other with a `separator` between them.
fn joined<T: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    separator: char,
    items: impl IntoIterator<Item = T>,
) -> fmt::Result {
    items.into_iter().enumerate().try_for_each(|(i, item)| match i {
        0 => write!(f, "{item}"),
        _ => write!(f, "{separator}{item}"),
    })
}
