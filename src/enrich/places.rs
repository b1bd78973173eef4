//! Where responders are, as a database has it: more or less.

use std::net::IpAddr;

use super::lookups::Lookups;
use crate::untrusted::Untrusted;

/// Where an address is used, as far as that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The country's code: two capital letters (ISO 3166-1).
    pub country: Option<Untrusted>,
    /// The city, in English where there is a choice.
    pub city: Option<Untrusted>,
}

/// The places of addresses.
pub type Places = Lookups<IpAddr, Place>;
