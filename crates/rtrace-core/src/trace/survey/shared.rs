//! What identifies probes of several traces alike: it does not tell of which a quote is that was cut before its ports.

use std::collections::HashSet;
use std::net::IpAddr;

use super::run::Run;
use crate::time::{Span, Timestamp};

/// A quote of a probe does not come later than this.
const ANSWERED: Span = Span::from_millis(60_000);

/// Between which addresses and by which protocol an IP-ID identifies a datagram. A flow label does from an address to all others.
type Among = Option<(IpAddr, u8)>;

/// For each trace, the IP-IDs (flow labels over IPv6) of its probes that a probe of another has too, at about the same time.
pub(super) fn identities(runs: &[Run]) -> Vec<HashSet<u32>> {
    let mut all: Vec<(IpAddr, Among, u32, Timestamp, usize)> = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let (source, target) = (run.flow.source, run.flow.target);
        let six = target.is_ipv6();
        let among = (!six).then(|| (target, run.flow.protocol()));
        let id = |key: u16, label: u32| if six { label } else { key.into() };
        let each =
            run.all().map(|it| (source, among, id(it.key.ip_id, it.flow_label), it.at, index));
        all.extend(each);
    }
    all.sort_unstable();
    let mut shared = vec![HashSet::new(); runs.len()];
    // Of all with one identity each trace has one that stands next to another's, if there are several.
    for pair in all.windows(2) {
        let [(source, among, id, at, of), (next_source, next_among, next_id, next, of_next)] = pair
        else {
            continue;
        };
        let alike = (source, among, id) == (next_source, next_among, next_id);
        if alike && of != of_next && next.since(*at) <= ANSWERED {
            for of in [of, of_next] {
                shared.get_mut(*of).into_iter().for_each(|ids: &mut HashSet<_>| ids.extend([*id]));
            }
        }
    }
    shared
}
