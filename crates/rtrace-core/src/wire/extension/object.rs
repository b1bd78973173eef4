//! Extension objects (RFC 4884 §8), of which MPLS label stacks (RFC 4950) and interface information
//! (RFC 5837) are understood.
//!
//! An object always decodes: one whose content is not as its class wants it is an unknown object, and
//! its bytes are kept.

use std::fmt;

use super::{HEADER_LEN, interface::InterfaceInformation, joined};

/// Class and c-type of the incoming MPLS label stack (RFC 4950).
const MPLS: (u8, u8) = (1, 1);
/// Class of interface information (RFC 5837 §4); what the object holds is in its c-type.
const INTERFACE_INFORMATION: u8 = 2;

/// An object of an extension structure.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "exhaustive"), non_exhaustive)]
pub enum Object {
    /// The label stack with which the datagram arrived, top first; at least one entry.
    MplsLabelStack(Vec<LabelStackEntry>),
    /// An interface or next hop that the datagram met.
    InterfaceInformation(InterfaceInformation),
    /// Anything else.
    Unknown {
        /// The class-num.
        class: u8,
        /// The c-type.
        c_type: u8,
        /// What follows the object's header.
        payload: Vec<u8>,
    },
}

/// An entry of an MPLS label stack (RFC 3032 §2.1, the traffic class as RFC 5462 names it).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LabelStackEntry {
    /// The label, 20 bits.
    pub label: u32,
    /// Traffic class, 3 bits; once called experimental use.
    pub tc: u8,
    /// Whether this is the bottom of the stack.
    pub bottom: bool,
    /// Time to live.
    pub ttl: u8,
}

impl LabelStackEntry {
    /// The entry in these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 4]) -> Self {
        let [a, b, c, ttl] = bytes;
        let label = u32::from_be_bytes([0, a, b, c]) >> 4;
        Self { label, tc: (c >> 1) & 0x7, bottom: c & 1 == 1, ttl }
    }

    /// The entry as it is sent, without the bits for which there is no room.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 4] {
        let [_, a, b, c] = (self.label << 4).to_be_bytes();
        [a, b, c | (self.tc & 0x7) << 1 | u8::from(self.bottom), self.ttl]
    }
}

/// Writes an entry as `traceroute -e` does: label, experimental bits, bottom of stack, TTL.
impl fmt::Display for LabelStackEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { label, tc, bottom, ttl } = self;
        write!(f, "L={label},E={tc},S={},T={ttl}", u8::from(*bottom))
    }
}

impl Object {
    /// The object of this class and c-type with this payload.
    #[must_use]
    pub fn decode(class: u8, c_type: u8, payload: &[u8]) -> Self {
        let known = if (class, c_type) == MPLS {
            label_stack(payload).map(Self::MplsLabelStack)
        } else if class == INTERFACE_INFORMATION {
            InterfaceInformation::decode(c_type, payload).map(Self::InterfaceInformation)
        } else {
            None
        };
        known.unwrap_or_else(|| Self::Unknown { class, c_type, payload: payload.to_vec() })
    }

    /// The class-num.
    #[must_use]
    pub fn class(&self) -> u8 {
        match self {
            Self::MplsLabelStack(_) => MPLS.0,
            Self::InterfaceInformation(_) => INTERFACE_INFORMATION,
            Self::Unknown { class, .. } => *class,
        }
    }

    /// The c-type.
    #[must_use]
    pub fn c_type(&self) -> u8 {
        match self {
            Self::MplsLabelStack(_) => MPLS.1,
            Self::InterfaceInformation(information) => information.c_type(),
            Self::Unknown { c_type, .. } => *c_type,
        }
    }

    /// What follows the object's header.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        match self {
            Self::MplsLabelStack(entries) => {
                entries.iter().flat_map(|entry| entry.to_bytes()).collect()
            }
            Self::InterfaceInformation(information) => information.payload(),
            Self::Unknown { payload, .. } => payload.clone(),
        }
    }

    /// The object as it is sent; a payload too long for the length field is cut.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let payload = self.payload();
        let len = u16::try_from(payload.len() + HEADER_LEN).unwrap_or(u16::MAX);
        let mut bytes = len.to_be_bytes().to_vec();
        bytes.extend([self.class(), self.c_type()]);
        bytes.extend(payload);
        bytes.truncate(usize::from(len));
        bytes
    }
}

/// Writes an object as `traceroute -e` does, which knows label stacks only: of the rest, class, c-type and the
/// payload as 32-bit words. Interface information has its own form for people.
impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::MplsLabelStack(entries) = self {
            f.write_str("MPLS:")?;
            return joined(f, '/', entries);
        }
        write!(f, "{}/{}:", self.class(), self.c_type())?;
        joined(f, ',', self.payload().chunks(4).map(Hex))
    }
}

struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The entries of a label stack, if there are nothing but entries.
fn label_stack(payload: &[u8]) -> Option<Vec<LabelStackEntry>> {
    let (entries, rest) = payload.as_chunks();
    (rest.is_empty() && !entries.is_empty())
        .then(|| entries.iter().copied().map(LabelStackEntry::from_bytes).collect())
}
