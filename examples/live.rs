//! A live trace, for which `CAP_NET_RAW` is needed: `sudo cargo run --example live -- ADDRESS`.

use std::error::Error;
use std::net::IpAddr;

use rtrace::driver::{self, Observer};
use rtrace::link::live::{LiveConfig, LiveLink, LiveTarget, Stamping, route};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::{Engine, Event, Path, TraceConfig, Tracer};

/// Prints replies as they come.
struct Printer;

impl Observer for Printer {
    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        if let Event::Replied(at, index) = event
            && let Some(reply) = path.probe(at).and_then(|probe| probe.replies.get(index))
        {
            println!("{at:?}: {} after {:?}", reply.responder, reply.rtt);
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let target: IpAddr = std::env::args().nth(1).ok_or("which address?")?.parse()?;
    let stamping = Stamping::ask();
    let route = route::resolve(target, None, None, None)?;
    let source = route.source;
    let target_of_link = LiveTarget { route, address: target, source_port: None };
    let mut link = LiveLink::open(&LiveConfig::of(vec![target_of_link]), stamping)?;
    let mut tracer = Tracer::new(TraceConfig::new(source, target, link.ident(0)))?;
    driver::run(&mut tracer, &mut link, &mut Printer)?;
    println!("target reached: {}", tracer.reached());
    Ok(())
}
