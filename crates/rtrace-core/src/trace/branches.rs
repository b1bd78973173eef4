//! Branches of a path that are not equally long: where a load balancer sends some probes over more hops than others,
//! the target answers at one TTL, and routers still say of higher ones that they ran out.

use std::net::IpAddr;

use super::path::Path;

/// The hops beyond the one that ends the path at which routers answered: TTL and responders. None where a loop ends it.
#[must_use]
pub fn beyond(path: &Path) -> Vec<(u8, Vec<IpAddr>)> {
    let Some(end) = path.last_ttl().filter(|_| path.end.is_some() && path.looped.is_none()) else {
        return Vec::new();
    };
    let hops = path.hops().iter().filter(|hop| hop.ttl > end);
    let answered = hops.map(|hop| {
        let mut routers: Vec<IpAddr> = Vec::new();
        let replies = hop.probes.iter().flat_map(|probe| probe.replies.iter());
        for reply in replies.filter(|reply| reply.kind.in_transit()) {
            if !routers.contains(&reply.responder) {
                routers.push(reply.responder);
            }
        }
        (hop.ttl, routers)
    });
    answered.filter(|(_, routers)| !routers.is_empty()).collect()
}
