//! Interface information (RFC 5837 §4): the interface that a datagram arrived on, or would have left by.
//!
//! The c-type says what the object holds, and the order is fixed: index, address, name, MTU. Content
//! that does not fit its c-type to the last byte is not interface information.

use std::fmt;
use std::net::IpAddr;

use crate::untrusted::Untrusted;

/// The role of an interface or next hop in the forwarding of a datagram (RFC 5837 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The IP interface on which the datagram arrived.
    Incoming,
    /// The component below IP (a member of a bundle, say) on which it arrived.
    SubIp,
    /// The IP interface by which it would have left.
    Outgoing,
    /// The next hop to which it would have been sent.
    NextHop,
}

/// The roles, by their number.
const ROLES: [Role; 4] = [Role::Incoming, Role::SubIp, Role::Outgoing, Role::NextHop];

/// The bits of the c-type that say what is there.
const IFINDEX: u8 = 0x08;
const ADDRESS: u8 = 0x04;
const NAME: u8 = 0x02;
const MTU: u8 = 0x01;

/// The numbers of the address families (RFC 5837 §4.2).
const AFI_IPV4: u16 = 1;
const AFI_IPV6: u16 = 2;

/// The longest name; with its length byte it takes 64.
const MAX_NAME_LEN: usize = 63;

/// Information that a router gives about an interface or next hop (RFC 5837 §4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceInformation {
    /// The role of the interface or next hop.
    pub role: Role,
    /// The index of the interface (`ifIndex` of RFC 2863).
    pub ifindex: Option<u32>,
    /// The address of the interface, of either family, whatever that of the message.
    pub address: Option<IpAddr>,
    /// The name of the interface (`ifName` of RFC 2863) without padding, which should be UTF-8. Print it as an
    /// [`Untrusted`].
    pub name: Option<Vec<u8>>,
    /// The MTU of the interface, in bytes.
    pub mtu: Option<u32>,
}

impl InterfaceInformation {
    /// The information in an object of this c-type, if that is what the payload holds.
    #[must_use]
    pub fn decode(c_type: u8, payload: &[u8]) -> Option<Self> {
        let mut rest = payload;
        let has = |bit| c_type & bit != 0;
        let information = Self {
            role: *ROLES.get(usize::from(c_type >> 6))?,
            ifindex: field(has(IFINDEX), &mut rest, word)?,
            address: field(has(ADDRESS), &mut rest, address)?,
            name: field(has(NAME), &mut rest, name)?,
            mtu: field(has(MTU), &mut rest, word)?,
        };
        rest.is_empty().then_some(information)
    }

    /// The c-type of the object that holds this.
    #[must_use]
    pub fn c_type(&self) -> u8 {
        let bit = |set, bit| if set { bit } else { 0 };
        (self.role as u8) << 6
            | bit(self.ifindex.is_some(), IFINDEX)
            | bit(self.address.is_some(), ADDRESS)
            | bit(self.name.is_some(), NAME)
            | bit(self.mtu.is_some(), MTU)
    }

    /// The payload of the object that holds this; a name longer than 63 bytes is cut.
    #[must_use]
    pub fn payload(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.ifindex.iter().flat_map(|index| index.to_be_bytes()));
        let family = |afi: u16| afi.to_be_bytes().into_iter().chain([0, 0]);
        match self.address {
            Some(IpAddr::V4(address)) => {
                bytes.extend(family(AFI_IPV4));
                bytes.extend(address.octets());
            }
            Some(IpAddr::V6(address)) => {
                bytes.extend(family(AFI_IPV6));
                bytes.extend(address.octets());
            }
            None => {}
        }
        if let Some(name) = &self.name {
            let name = name.get(..MAX_NAME_LEN).unwrap_or(name);
            let len = (name.len() + 1).next_multiple_of(4);
            bytes.push(u8::try_from(len).unwrap_or(u8::MAX));
            bytes.extend(name);
            bytes.resize(bytes.len() + len - 1 - name.len(), 0);
        }
        bytes.extend(self.mtu.iter().flat_map(|mtu| mtu.to_be_bytes()));
        bytes
    }
}

/// For people: `incoming ifindex=3 address=192.0.2.1 name=eth0 mtu=1500`, without what is not known and
/// with the name escaped.
impl fmt::Display for InterfaceInformation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { role, ifindex, address, name, mtu } = self;
        write!(f, "{role}")?;
        ifindex.map_or(Ok(()), |index| write!(f, " ifindex={index}"))?;
        address.map_or(Ok(()), |address| write!(f, " address={address}"))?;
        if let Some(name) = name {
            write!(f, " name={}", Untrusted::from(name.as_slice()).escaped())?;
        }
        mtu.map_or(Ok(()), |mtu| write!(f, " mtu={mtu}"))
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Incoming => "incoming",
            Self::SubIp => "sub-ip",
            Self::Outgoing => "outgoing",
            Self::NextHop => "next-hop",
        })
    }
}

/// Takes a field off the front of `rest` if the c-type says that it is there: `None` if it should be
/// there and is not.
#[expect(clippy::option_option, reason = "not there, and not well formed, are two answers")]
fn field<T>(there: bool, rest: &mut &[u8], take: fn(&mut &[u8]) -> Option<T>) -> Option<Option<T>> {
    if there { take(rest).map(Some) } else { Some(None) }
}

fn bytes<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    rest.split_off(..N)?.first_chunk().copied()
}

fn word(rest: &mut &[u8]) -> Option<u32> {
    bytes(rest).map(u32::from_be_bytes)
}

/// RFC 5837 §4.2: address family, two reserved bytes, address.
fn address(rest: &mut &[u8]) -> Option<IpAddr> {
    let [high, low, _, _] = bytes(rest)?;
    match u16::from_be_bytes([high, low]) {
        AFI_IPV4 => bytes::<4>(rest).map(IpAddr::from),
        AFI_IPV6 => bytes::<16>(rest).map(IpAddr::from),
        _ => None,
    }
}

/// RFC 5837 §4.3: a length that counts itself and the zeros that pad the name to whole words.
fn name(rest: &mut &[u8]) -> Option<Vec<u8>> {
    let len = usize::from(*rest.first()?);
    if len == 0 || len > MAX_NAME_LEN + 1 || len % 4 != 0 {
        return None;
    }
    let (_, padded) = rest.split_off(..len)?.split_first()?;
    let end = padded.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    padded.get(..end).map(<[u8]>::to_vec)
}
