//! A trace over the simulated network that rtrace brings along: `cargo run --example simulated`.

use std::error::Error;

use rtrace::driver::{self, Observer};
use rtrace::link::sim::{SimLink, Topology};
use rtrace::trace::{Engine, TraceConfig, Tracer};

/// Nobody needs to hear of each event.
struct Nobody;
impl Observer for Nobody {}

/// Traces 203.0.113.9, and prints who answered at each hop.
pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    let topology = Topology::builtin();
    let config = TraceConfig::new(topology.source().into(), [203, 0, 113, 9].into(), 54_321);
    let mut tracer = Tracer::new(config)?;
    driver::run(&mut tracer, &mut SimLink::new(topology), &mut Nobody)?;
    for hop in tracer.path().reported() {
        let replies = hop.probes.iter().flat_map(|probe| &probe.replies);
        let replies = replies.map(|it| format!("{} {:?}", it.responder, it.rtt));
        println!("{:2}  {}", hop.ttl, replies.collect::<Vec<_>>().join("  "));
    }
    Ok(())
}
