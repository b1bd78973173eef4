//! How a topology file says what a router appends to its quotes: the keys `mpls`, `interface` and
//! `object` for the objects, `extension` and `extension_checksum` for the structure (RFC 4884, 4950
//! and 5837). Text in it is anything that TOML can hold, hostile text too.

use std::net::IpAddr;

use serde::Deserialize;

use crate::wire::extension::{
    Checksum, Extension, InterfaceInformation, LabelStackEntry, Object, Role,
};

/// An entry of a label stack; the last one is the bottom.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "LabelKeys")]
pub(super) struct Label(LabelStackEntry);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelKeys {
    label: u32,
    #[serde(default)]
    tc: u8,
    ttl: Option<u8>,
}

impl TryFrom<LabelKeys> for Label {
    type Error = String;

    fn try_from(keys: LabelKeys) -> Result<Self, String> {
        let LabelKeys { label, tc, ttl } = keys;
        if label > 0x000f_ffff || tc > 7 {
            return Err("a `label` is at most 1048575 and its `tc` at most 7".into());
        }
        Ok(Self(LabelStackEntry { label, tc, bottom: false, ttl: ttl.unwrap_or(1) }))
    }
}

/// Interface information: the object omits what is not given.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Interface {
    #[serde(default)]
    role: RoleKey,
    ifindex: Option<u32>,
    address: Option<IpAddr>,
    name: Option<String>,
    mtu: Option<u32>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RoleKey {
    #[default]
    Incoming,
    SubIp,
    Outgoing,
    NextHop,
}

impl From<RoleKey> for Role {
    fn from(key: RoleKey) -> Self {
        match key {
            RoleKey::Incoming => Self::Incoming,
            RoleKey::SubIp => Self::SubIp,
            RoleKey::Outgoing => Self::Outgoing,
            RoleKey::NextHop => Self::NextHop,
        }
    }
}

/// Any object at all.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnyObject {
    class: u8,
    c_type: u8,
    #[serde(default)]
    hex: Hex,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "String")]
struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let digits: Option<Vec<u32>> = text
            .chars()
            .filter(|digit| !digit.is_whitespace())
            .map(|digit| digit.to_digit(16))
            .collect();
        let octet = |pair: &[u32; 2]| u8::try_from(pair[0] << 4 | pair[1]).ok();
        digits
            .as_deref()
            .map(<[u32]>::as_chunks)
            .filter(|(_, odd)| odd.is_empty())
            .and_then(|(pairs, _)| pairs.iter().map(octet).collect())
            .map(Self)
            .ok_or_else(|| format!("{text:?} is not hexadecimal, write two digits for each octet"))
    }
}

/// Whether the length field leads to the structure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Form {
    /// It does.
    Rfc4884,
    /// It is 0 and the structure at byte 128, as before the RFC.
    Old,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum ChecksumKey {
    Right,
    Absent,
    Wrong,
}

impl From<ChecksumKey> for Checksum {
    fn from(key: ChecksumKey) -> Self {
        match key {
            ChecksumKey::Right => Self::Right,
            ChecksumKey::Absent => Self::Absent,
            ChecksumKey::Wrong => Self::Wrong,
        }
    }
}

/// All that a place in the file says of its extension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Appendix<'a> {
    pub(super) mpls: Option<&'a [Label]>,
    pub(super) interface: Option<&'a Interface>,
    pub(super) object: Option<&'a AnyObject>,
    pub(super) form: Option<Form>,
    pub(super) checksum: Option<ChecksumKey>,
}

impl Appendix<'_> {
    /// Applies this specification to `extension`: its objects, if any, replace those there.
    pub(super) fn apply(&self, extension: &mut Extension) {
        if let Some(form) = self.form {
            extension.compliant = form == Form::Rfc4884;
        }
        if let Some(checksum) = self.checksum {
            extension.checksum = checksum.into();
        }
        let mpls = self.mpls.filter(|stack| !stack.is_empty()).map(label_stack);
        let interface = self.interface.map(interface_information);
        let object = self
            .object
            .map(|AnyObject { class, c_type, hex }| Object::decode(*class, *c_type, &hex.0));
        let said: Vec<_> = [mpls, interface, object].into_iter().flatten().collect();
        if !said.is_empty() || self.mpls.is_some() {
            extension.objects = said;
        }
    }
}

fn label_stack(labels: &[Label]) -> Object {
    let mut entries: Vec<_> = labels.iter().map(|label| label.0).collect();
    if let Some(last) = entries.last_mut() {
        last.bottom = true;
    }
    Object::MplsLabelStack(entries)
}

fn interface_information(said: &Interface) -> Object {
    Object::InterfaceInformation(InterfaceInformation {
        role: said.role.into(),
        ifindex: said.ifindex,
        address: said.address,
        name: said.name.as_ref().map(|name| name.as_bytes().to_vec()),
        mtu: said.mtu,
    })
}
