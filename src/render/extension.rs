//! ICMP extensions in their serialised form (RFC 4884, 4950, 5837).

use std::fmt::Write;
use std::net::IpAddr;

use serde::Serialize;

use crate::untrusted::Untrusted;
use crate::wire::extension::{Checksum, Ending, Extension, InterfaceInformation, Object, Role};

#[derive(Serialize)]
pub(super) struct ExtensionRow {
    /// Found where the length field says (RFC 4884), not at byte 128.
    compliant: bool,
    checksum: &'static str,
    /// The list of objects ends where the structure does.
    whole: bool,
    objects: Vec<ObjectRow>,
}

#[derive(Serialize)]
struct ObjectRow {
    class: u8,
    c_type: u8,
    #[serde(flatten)]
    content: Content,
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Content {
    Labels(Vec<LabelRow>),
    Interface(InterfaceRow),
    Hex(String),
}

#[derive(Serialize)]
struct LabelRow {
    label: u32,
    tc: u8,
    bottom: bool,
    ttl: u8,
}

#[derive(Serialize)]
struct InterfaceRow {
    role: &'static str,
    ifindex: Option<u32>,
    address: Option<IpAddr>,
    name: Option<Untrusted>,
    mtu: Option<u32>,
}

impl ExtensionRow {
    pub(super) fn of(extension: &Extension) -> Self {
        Self {
            compliant: extension.compliant,
            checksum: match extension.checksum {
                Checksum::Right => "right",
                Checksum::Absent => "absent",
                Checksum::Wrong => "wrong",
            },
            whole: extension.ending == Ending::Whole,
            objects: extension.objects.iter().map(ObjectRow::of).collect(),
        }
    }
}

impl ObjectRow {
    fn of(object: &Object) -> Self {
        let content = match object {
            Object::MplsLabelStack(entries) => Content::Labels(
                entries
                    .iter()
                    .map(|entry| LabelRow {
                        label: entry.label,
                        tc: entry.tc,
                        bottom: entry.bottom,
                        ttl: entry.ttl,
                    })
                    .collect(),
            ),
            Object::InterfaceInformation(interface) => Content::Interface(interface.into()),
            Object::Unknown { payload, .. } => Content::Hex(hex(payload)),
        };
        Self { class: object.class(), c_type: object.c_type(), content }
    }
}

impl From<&InterfaceInformation> for InterfaceRow {
    fn from(interface: &InterfaceInformation) -> Self {
        Self {
            role: match interface.role {
                Role::Incoming => "incoming",
                Role::SubIp => "sub-ip",
                Role::Outgoing => "outgoing",
                Role::NextHop => "next-hop",
            },
            ifindex: interface.ifindex,
            address: interface.address,
            name: interface.name.as_deref().map(Untrusted::from),
            mtu: interface.mtu,
        }
    }
}

/// Octets with blanks between them, as in a dump.
pub(super) fn spaced(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
