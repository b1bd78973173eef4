//! Which addresses are of one router: those whose replies count on one IP-ID counter.
//!
//! Many routers number all that they send over IPv4, whatever the address (the test of Ally and of MIDAR: Keys, Hyun,
//! Luckie and claffy, "Internet-Scale IPv4 Alias Resolution with MIDAR", 2013). If the replies of two addresses,
//! in the order in which they came, go up in small steps through at least [`TURNS`] changes from one address to the
//! other, the two are taken for one router: two counters would have to be as near to one another as one step is long.
//! Replies without an IP-ID, and those that repeat that of the probe, say nothing; so over IPv6 nothing is known. A counter may be
//! that of a NAT or an emulator: see `counters`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use super::counters::{Controls, Verdict};
use super::sample::{Sample, is_one_counter, sample};
use crate::trace::path::Probe;
use crate::trace::reply::Reply;

/// Addresses of a hop that are of one router: each of them with the least.
#[derive(Debug, Default)]
pub(super) struct Aliases(HashMap<IpAddr, IpAddr>);

impl Aliases {
    /// Those that one flow has shown in turn at the hop with this TTL, of probes that answers came to; `telling` gives the answer. Only where
    /// the other hops of their flows count apart.
    pub(super) fn of(
        ttl: u8,
        by_flow: &BTreeMap<u16, Vec<&Probe>>,
        telling: impl Fn(&Probe) -> Option<&Reply>,
        controls: &Controls<'_>,
    ) -> Self {
        let mut wavering = BTreeSet::new();
        for probes in by_flow.values() {
            let seen = probes.iter().filter_map(|it| Some(telling(it)?.responder));
            let seen: BTreeSet<IpAddr> = seen.collect();
            if seen.len() > 1 {
                wavering.extend(seen);
            }
        }
        let mut samples: BTreeMap<IpAddr, Vec<Sample>> = BTreeMap::new();
        for probe in by_flow.values().flatten().filter(|_| !wavering.is_empty()) {
            let Some(reply) = telling(probe).filter(|it| wavering.contains(&it.responder)) else {
                continue;
            };
            samples.entry(reply.responder).or_default().extend(sample(probe, reply));
        }
        let mut routers: Vec<(BTreeSet<IpAddr>, Vec<Sample>)> = Vec::new();
        for (address, mut own) in samples {
            own.sort_unstable();
            let apart = |it: &IpAddr| controls.get().are_on_one_path(*it, address);
            let same = routers.iter_mut().find(|(addresses, others)| {
                is_one_counter(others, &own) && !addresses.iter().any(apart)
            });
            if let Some((addresses, others)) = same {
                addresses.insert(address);
                others.extend(own);
                others.sort_unstable();
            } else {
                routers.push((BTreeSet::from([address]), own));
            }
        }
        let mut aliases = HashMap::new();
        for (addresses, _) in routers.iter().filter(|(addresses, _)| addresses.len() > 1) {
            if controls.get().judge(ttl, addresses) == Verdict::OneRouter {
                let least = addresses.first().copied();
                aliases.extend(addresses.iter().filter_map(|it| Some((*it, least?))));
            }
        }
        Self(aliases)
    }

    /// The router of this address, by its least.
    pub(super) fn router(&self, address: IpAddr) -> IpAddr {
        self.0.get(&address).copied().unwrap_or(address)
    }
}
