//! What a router appends to its quote, octet by octet: an extension structure (RFC 4884 §7) with its label stacks
//! (RFC 4950), interface information (RFC 5837) and objects that are not understood.
//!
//! Invariant: the rows have every octet of the structure once, in order, whatever it claims of itself.

use std::net::IpAddr;

use crate::untrusted::Untrusted;
use crate::wire::extension::LabelStackEntry;
use crate::wire::extension::{Checksum, Ending, Extension, InterfaceInformation, Object};

/// Some octets, and what they say.
pub(super) type Row<'a> = (&'a [u8], String);

/// The length of the structure's header, and of an object's.
const HEADER_LEN: usize = 4;

/// The octets of a structure, with what they say.
pub(super) fn rows<'a>(structure: &'a [u8], extension: &Extension) -> Vec<Row<'a>> {
    let mut cut = Cut { rest: structure, rows: Vec::new() };
    let checksum = match extension.checksum {
        Checksum::Right => "right",
        Checksum::Absent => "0: no checksum",
        Checksum::Wrong => "wrong: do not trust the following octets",
    };
    cut.take(HEADER_LEN, format!("version 2, checksum {checksum}"));
    for (object, octets) in extension.located(structure) {
        let (class, c_type, len) = (object.class(), object.c_type(), octets.len());
        let kind = match object {
            Object::MplsLabelStack(_) => "MPLS label stack".to_owned(),
            Object::InterfaceInformation(it) => format!("interface information, {}", it.role),
            Object::Unknown { .. } => "unknown".to_owned(),
        };
        cut.take(
            HEADER_LEN,
            format!("object of {len} octets, class {class}, c-type {c_type}: {kind}"),
        );
        let before = cut.rest.len();
        match object {
            Object::MplsLabelStack(entries) => entries.iter().for_each(|it| cut.label(*it)),
            Object::InterfaceInformation(it) => cut.interface(it),
            Object::Unknown { .. } => {}
        }
        let read = before - cut.rest.len();
        cut.take((len - HEADER_LEN).saturating_sub(read), "not understood".to_owned());
    }
    let left = match extension.ending {
        Ending::Broken(_) => "no whole object",
        Ending::Whole | Ending::TooMany => "more objects than rtrace reads",
    };
    cut.take(cut.rest.len(), left.to_owned());
    cut.rows
}

/// Octets that are cut into rows.
struct Cut<'a> {
    rest: &'a [u8],
    rows: Vec<Row<'a>>,
}

impl Cut<'_> {
    /// Attaches a sentence to the next `len` octets, or to those that are left.
    fn take(&mut self, len: usize, said: String) {
        let (octets, rest) = self.rest.split_at(len.min(self.rest.len()));
        self.rest = rest;
        if !octets.is_empty() {
            self.rows.push((octets, said));
        }
    }

    fn label(&mut self, entry: LabelStackEntry) {
        let LabelStackEntry { label, tc, bottom, ttl } = entry;
        let bottom = if bottom { ", bottom of the stack" } else { "" };
        self.take(4, format!("label {label}, traffic class {tc}{bottom}, TTL {ttl}"));
    }

    fn interface(&mut self, it: &InterfaceInformation) {
        if let Some(index) = it.ifindex {
            self.take(4, format!("interface index {index}"));
        }
        if let Some(address) = it.address {
            let (family, len) = if address.is_ipv4() { (1, 4) } else { (2, 16) };
            self.take(4, format!("address family {family}"));
            self.take(len, IpAddr::to_string(&address));
        }
        if let Some(name) = &it.name {
            let len = self.rest.first().copied().unwrap_or_default();
            let name = Untrusted::from(name.as_slice());
            self.take(len.into(), format!("name of {len} octets: {}", name.escaped()));
        }
        if let Some(mtu) = it.mtu {
            self.take(4, format!("MTU {mtu}"));
        }
    }
}
