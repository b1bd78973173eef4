//! The autonomous systems that responders belong to: numbers, and what the first of them is called.
//!
//! They come from a database at hand, or by DNS from Team Cymru, who collect what is announced by BGP
//! (<https://www.team-cymru.com/ip-asn-mapping>): `4.3.2.1.origin.asn.cymru.com` has a TXT record per
//! prefix, "64500 64501 | 1.2.3.0/24 | US | arin | 1998-09-25", and `AS64500.asn.cymru.com` has
//! "64500 | US | arin | 2002-01-04 | EXAMPLE, US".
//!
//! Addresses that nobody announces (RFC 1918 and its like) are never asked of others: they have no origin.

use std::net::IpAddr;
use std::time::Instant;

use super::dns::{Dns, Unanswered};
use super::lookups::{Lookup, Lookups, PendingLookups};
use crate::untrusted::Untrusted;

/// More systems than this announce no address: the rest is not believed.
pub const MOST_NUMBERS: usize = 16;

/// The systems that announce an address; no numbers if none is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The numbers of the autonomous systems.
    pub numbers: Vec<u32>,
    /// What the first of them is called, if that came with the numbers.
    pub name: Option<Untrusted>,
}

/// The origins of addresses, as far as they are known. One whose lookup failed or timed out is
/// [`Known`](Lookup::Known) without a value; one that nobody announces has a value without numbers.
pub struct Origins {
    announced: Lookups<IpAddr, Origin>,
    /// What systems are called, where their names are asked for apart.
    names: Lookups<u32, Untrusted>,
    /// Addresses that have been asked for, and of whose system the name has not.
    unnamed: Vec<IpAddr>,
}

impl Origins {
    /// Origins from a database: its entry for an address, `None` if it is damaged there.
    #[must_use]
    pub fn held(look_up: impl Fn(IpAddr) -> Option<Origin> + Send + Sync + 'static) -> Self {
        Self { announced: Lookups::held(look_up), names: Lookups::given([]), unnamed: Vec::new() }
    }

    /// Origins from lookups: the systems that announce an address, and the name of a system.
    #[must_use]
    pub fn asked(announced: Lookups<IpAddr, Origin>, names: Lookups<u32, Untrusted>) -> Self {
        Self { announced, names, unnamed: Vec::new() }
    }

    /// What could not be had may still come: see [`Lookups::with_retries`].
    #[must_use]
    pub fn with_retries(self) -> Self {
        let Self { announced, names, unnamed } = self;
        Self { announced: announced.with_retries(), names: names.with_retries(), unnamed }
    }

    /// What is known of the origin of `address`.
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> Lookup<'_, Origin> {
        self.announced.lookup(address)
    }

    /// What the first system that announces `address` is called, if that is known by now.
    #[must_use]
    pub fn name(&self, address: IpAddr) -> Option<&Untrusted> {
        let Lookup::Known(Some(origin)) = self.announced.lookup(address) else { return None };
        let asked = || match self.names.lookup(*origin.numbers.first()?) {
            Lookup::Known(name) => name,
            _ => None,
        };
        origin.name.as_ref().or_else(asked)
    }

    /// Asks for the names of the systems that have become known. Returns whether there are any.
    fn ask_names(&mut self) -> bool {
        let before = self.unnamed.len();
        for address in std::mem::take(&mut self.unnamed) {
            match self.announced.lookup(address) {
                Lookup::Known(Some(Origin { numbers, name: None })) => {
                    numbers.iter().take(1).for_each(|number| self.names.request(*number));
                }
                Lookup::Known(_) => {}
                Lookup::Pending | Lookup::Unasked => self.unnamed.push(address),
            }
        }
        self.unnamed.len() < before
    }
}

impl PendingLookups<IpAddr> for Origins {
    fn request(&mut self, address: IpAddr) {
        self.announced.request(address);
        if self.name(address).is_none() && !self.unnamed.contains(&address) {
            self.unnamed.push(address);
        }
    }

    fn poll(&mut self) -> bool {
        let announced = self.announced.poll();
        let asked = self.ask_names();
        self.names.poll() | announced | asked
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.announced.next_deadline().into_iter().chain(self.names.next_deadline()).min()
    }

    fn wait_all(&mut self) {
        self.announced.wait_all();
        self.ask_names();
        self.names.wait_all();
    }

    fn give_up(&mut self) {
        self.announced.give_up();
        self.names.give_up();
    }
}

/// Who announces an address, by Team Cymru's zones; `None` if that cannot be determined.
#[must_use]
pub fn of_cymru(dns: &Dns, address: IpAddr) -> Option<Origin> {
    cymru_origin(address, |name| dns.text(name))
}

/// What a system is called, by Team Cymru's zones.
#[must_use]
pub fn name_of_cymru(dns: &Dns, number: u32) -> Option<Untrusted> {
    cymru_name(&dns.text(&cymru_name_zone(number)).ok()?, number)
}

/// What `text` has to say of who announces an address; `None` if it has nothing sensible to say.
fn cymru_origin(
    address: IpAddr,
    text: impl Fn(&str) -> Result<Vec<String>, Unanswered>,
) -> Option<Origin> {
    let address = address.to_canonical();
    if !is_announced(address) {
        return Some(Origin::default());
    }
    let records = text(&cymru_origin_zone(address)).ok()?;
    let mut prefixes: Vec<_> = records.iter().filter_map(|record| prefix_in(record)).collect();
    if prefixes.is_empty() && !records.is_empty() {
        return None;
    }
    // The most specific prefix is the one that packets follow.
    prefixes.sort_by_key(|(_, len)| std::cmp::Reverse(*len));
    let longest = prefixes.first().map(|(_, len)| *len);
    let mut numbers = Vec::new();
    for number in prefixes.iter().filter(|(_, len)| Some(*len) == longest).flat_map(|(it, _)| it) {
        if !numbers.contains(number) && numbers.len() < MOST_NUMBERS {
            numbers.push(*number);
        }
    }
    Some(Origin { numbers, name: None })
}

/// The numbers in a record of the origin zones, and the length of the prefix that it is about.
fn prefix_in(record: &str) -> Option<(Vec<u32>, u8)> {
    let mut fields = record.split('|').map(str::trim);
    let numbers = fields.next()?.split_whitespace().map(str::parse);
    let numbers = numbers.collect::<Result<Vec<_>, _>>().ok()?;
    let (_, len) = fields.next()?.split_once('/')?;
    Some((numbers, len.parse().ok()?)).filter(|(numbers, _)| !numbers.is_empty())
}

/// What a system is called: the last field of its record, which begins with its number.
fn cymru_name(records: &[String], number: u32) -> Option<Untrusted> {
    records.iter().find_map(|record| {
        let fields: Vec<_> = record.splitn(5, '|').map(str::trim).collect();
        let is_its = fields.first()?.parse() == Ok(number);
        Untrusted::from(*fields.get(4)?).prose().filter(|_| is_its)
    })
}

/// The name whose TXT records say who announces an address.
fn cymru_origin_zone(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            format!("{d}.{c}.{b}.{a}.origin.asn.cymru.com.")
        }
        IpAddr::V6(address) => {
            let nibbles = format!("{:032x}", address.to_bits());
            let labels = nibbles.chars().rev().map(|nibble| format!("{nibble}."));
            format!("{}origin6.asn.cymru.com.", labels.collect::<String>())
        }
    }
}

/// The name whose TXT record says what a system is called.
fn cymru_name_zone(number: u32) -> String {
    format!("AS{number}.asn.cymru.com.")
}

/// Whether an address can be announced at all; one of a network of one's own is nobody else's business.
fn is_announced(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            let shared = a == 100 && b & 0xc0 == 64; // RFC 6598
            let local = address.is_private() || address.is_loopback() || address.is_link_local();
            !(local || shared || a == 0 || address.is_multicast() || address.is_broadcast())
        }
        IpAddr::V6(address) => {
            let local = address.is_unique_local() || address.is_unicast_link_local();
            !(local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(records: &[&str]) -> Option<Vec<u32>> {
        let records: Vec<_> = records.iter().map(|record| (*record).to_owned()).collect();
        let text = |_: &str| Ok(records.clone());
        cymru_origin([192, 0, 2, 1].into(), text).map(|origin| origin.numbers)
    }

    #[test]
    fn records_of_the_origin_zone_are_read() {
        for (records, expected) in [
            (&["23028 | 216.90.108.0/24 | US | arin | 1998-09-25"][..], Some(vec![23028])),
            (&["701 1239 3549 | 216.90.0.0/16 | US | arin | "], Some(vec![701, 1239, 3549])),
            (&["1 | 192.0.0.0/8 | ", "2 | 192.0.2.0/24 |", "3 2 | 192.0.2.0/24"], Some(vec![2, 3])),
            (&["nonsense", "5 | 192.0.2.0/24"], Some(vec![5])),
            (&[], Some(vec![])),
            (&["nonsense"], None),
            (&["64500 \x1b[2J | 192.0.2.0/24"], None),
            (&["| 192.0.2.0/24 |"], None),
            (&["-1 | 192.0.2.0/24"], None),
            (&["4294967296 | 192.0.2.0/24"], None),
            (&["1 | 192.0.2.0"], None),
        ] {
            assert_eq!(origin(records), expected, "{records:?}");
        }
        let many = (1..999).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        assert_eq!(origin(&[&format!("{many} | 192.0.2.0/24")]).unwrap().len(), MOST_NUMBERS);
    }

    #[test]
    fn records_of_a_system_are_read() {
        for (record, expected) in [
            ("23028 | US | arin | 2002-01-04 | TEAM-CYMRU, US", Some("TEAM-CYMRU, US")),
            ("23028 | US | arin | 2002-01-04 | A | B\x1b[2J", Some("A ? B??2J")),
            ("23029 | US | arin | 2002-01-04 | OTHER, US", None),
            ("23028 | US | arin | 2002-01-04 | ", None),
            ("23028 | US", None),
            ("", None),
        ] {
            let expected = expected.map(Untrusted::from);
            assert_eq!(cymru_name(&[record.to_owned()], 23028), expected);
        }
    }

    #[test]
    fn the_zones_are_those_of_team_cymru() {
        let zone = |address: &str| cymru_origin_zone(address.parse().unwrap());
        assert_eq!(zone("216.90.108.31"), "31.108.90.216.origin.asn.cymru.com.");
        assert_eq!(
            zone("2001:4860:b002::68"),
            "8.6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.b.0.6.8.4.1.0.0.2.origin6.asn.cymru.com."
        );
    }

    #[test]
    fn nobody_is_asked_about_a_network_of_ones_own() {
        let asked = |address: &str| {
            let mut asked = std::cell::Cell::new(false);
            let text = |_: &str| {
                asked.set(true);
                Err(Unanswered)
            };
            let origin = cymru_origin(address.parse().unwrap(), text);
            assert_eq!(origin, (!asked.get()).then(Origin::default));
            *asked.get_mut()
        };
        for own in [
            "10.0.1.2",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.1.1",
            "100.64.0.1",
            "100.127.255.255",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(!asked(own), "{own}");
        }
        for others in ["8.8.8.8", "100.128.0.1", "100.63.0.1", "172.32.0.1", "2001:db8::1"] {
            assert!(asked(others), "{others}");
        }
    }
}
