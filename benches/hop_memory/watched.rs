//! What a watched target keeps on the heap, over a simulated path in virtual time.

use std::net::IpAddr;

use rtrace::driver::{self, Observer};
use rtrace::link::sim::{SimLink, Topology};
use rtrace::link::{Link, LinkError, Received, Transmit};
use rtrace::probe::{Flow, ProbeType};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::table::{Row, Table};
use rtrace::trace::{Event, Path, TraceConfig};
use rtrace::wire::Frame;

use super::counting::live;

const TARGET: [u8; 4] = [203, 0, 113, 9];

/// Bytes on the heap.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Of [`Rounds`], in the middle of a round.
    pub rounds: i64,
    /// Of the [`Table`] then, and the most that it ever had.
    pub table: i64,
    pub most: i64,
}

/// Of a watch with one probe a hop and a second. With `noise` round trips and stamps vary as on a real host: each
/// router adds up to 50 µs each way, and frames are stamped up to 100 µs later.
pub fn kept(hops: u8, rounds: u64, noise: bool) -> Kept {
    let config = TraceConfig { queries: 1, ..config() };
    let plan = Plan { interval: 1.0, rounds: None, until: None };
    let mut link = Noisy::new(SimLink::new(path(hops, noise)), noise);
    let before = live();
    let mut engine = Rounds::new(config, plan).unwrap();
    let mut watch = Watch { rounds, table: Table::new(), table_has: 0, most: 0 };
    driver::run(&mut engine, &mut link, &mut watch).unwrap();
    assert_eq!((watch.table.rounds(), watch.table.rows().len()), (rounds + 1, hops.into()));
    assert_eq!(watch.table.rows().iter().map(Row::lost).sum::<u64>(), 0);
    drop(link);
    let Watch { table, most, .. } = watch;
    let at = live();
    drop(table);
    let table = at - live();
    let at = live();
    drop(engine);
    let rounds = at - live();
    assert!(live() - before < 4_096, "all is accounted for");
    Kept { rounds, table, most }
}

fn config() -> TraceConfig {
    let target = IpAddr::from(TARGET);
    let source = Topology::builtin().source_for(target);
    TraceConfig::of_flow(&Flow { source, target, probe: ProbeType::Udp, ident: 40_000 })
}

/// Of this number of hops, each half a millisecond farther away.
fn path(hops: u8, noise: bool) -> Topology {
    let jitter = if noise { "jitter = \"50us\"\n" } else { "" };
    let router =
        |n: u8| format!("[[hop]]\naddress = \"198.51.100.{n}\"\ndelay = \"500us\"\n{jitter}");
    let routers: String = (1..hops).map(router).collect();
    let text = format!("source = \"192.0.2.2\"\n{routers}[target]\ndelay = \"500us\"\n");
    Topology::parse(&text, "bench").unwrap()
}

struct Watch {
    /// After this number it is interrupted, in the next: at its end all that is kept would be looked at.
    rounds: u64,
    table: Table,
    table_has: i64,
    most: i64,
}

impl Observer for Watch {
    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        let before = live();
        self.table.handle(Some(event), path);
        self.table_has += live() - before;
        self.most = self.most.max(self.table_has);
    }

    fn interrupted(&self) -> bool {
        self.table.rounds() >= self.rounds
    }
}

/// A link whose stamps are a little late, as those of a busy host.
struct Noisy {
    link: SimLink,
    noise: bool,
    last: Timestamp,
    rng: fastrand::Rng,
}

impl Noisy {
    fn new(link: SimLink, noise: bool) -> Self {
        Self { link, noise, last: Timestamp::default(), rng: fastrand::Rng::with_seed(1) }
    }
}

impl Link for Noisy {
    fn now(&self) -> Timestamp {
        self.link.now()
    }

    fn send(&mut self, transmit: &Transmit<'_>) -> Result<(), LinkError> {
        self.link.send(transmit)
    }

    fn receive(&mut self, until: Option<Timestamp>) -> Result<Received<'_>, LinkError> {
        let received = self.link.receive(until)?;
        let Received::Frame(frame) = received else { return Ok(received) };
        let late = Span::from_nanos(if self.noise { self.rng.i64(0..100_000) } else { 0 });
        self.last = self.last.max(frame.at.after(late));
        Ok(Received::Frame(Frame { at: self.last, ..frame }))
    }
}
