//! Emulated cases of two kinds: routers or a target that limit their answers, where nothing is lost on the path; and paths that lose
//! packets. Each is a simulated network in virtual time and a watch of it, by its number the same each time.

use std::fmt::Write;
use std::net::IpAddr;

use rtrace::driver::{self, Observer};
use rtrace::link::sim::{SimLink, Topology};
use rtrace::probe::{Flow, ProbeType};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::loss::{LossTransition, LossWatch};
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::table::{Row, Table};
use rtrace::trace::verdict::{Loss, Verdict};
use rtrace::trace::{Event, Path, TraceConfig};

const TARGET: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9));
/// Linux's limit for each peer (`icmp_ratelimit`), and the two that it has for all (`icmp_msgs_per_sec`).
const LINUX: &str = "rate = { per_second = 1, burst = 6 }";
const LINUX_ALL: &str = "rate_all = { per_second = 1000, burst = 50 }";
const PROBES: [ProbeType; 3] = [ProbeType::Udp, ProbeType::IcmpEcho, ProbeType::TcpSyn];

/// A network and a watch of it.
#[derive(Clone, Debug)]
pub struct Case {
    pub what: &'static str,
    pub topology: String,
    pub probe: ProbeType,
    pub queries: u16,
    pub interval: f64,
    pub rounds: u64,
    /// The first hop beyond the lossy link, where the path loses.
    pub lossy: Option<u8>,
}

/// What a watch of a case came to.
#[derive(Debug, Default)]
pub struct Outcome {
    pub table: Table,
    pub losses: LossWatch,
    pub turns: Vec<LossTransition>,
}

impl Observer for Outcome {
    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        self.table.handle(Some(event), path);
        if event == Event::Ended {
            self.turns.extend(self.losses.add(path, self.table.end()));
        }
    }
}

impl Outcome {
    /// The report's verdict on each hop.
    pub fn verdicts(&self) -> Vec<Verdict> {
        self.table.verdicts()
    }

    /// The hops that the report says the path loses at, or the stream ever said so.
    pub fn path(&self) -> Vec<u8> {
        let rows = self.table.rows().iter().zip(self.verdicts());
        let told = rows.filter(|(_, verdict)| verdict.loss == Loss::Path).map(|(row, _)| row.ttl);
        let events = self.turns.iter().filter(|turn| turn.loss == Loss::Path).map(|it| it.ttl);
        told.chain(events).collect()
    }

    /// Probes that were not answered at hops that answer at all.
    pub fn lost(&self) -> u64 {
        self.table.rows().iter().filter(|row| !row.responders.is_empty()).map(Row::lost).sum()
    }
}

/// A line of hops and a target, each with what is written in its table.
struct Line {
    hops: Vec<String>,
    target: String,
}

impl Line {
    fn of(rng: &mut fastrand::Rng) -> Self {
        let delay = |rng: &mut fastrand::Rng| {
            format!("delay = \"{}us\"\njitter = \"{}us\"\n", rng.u32(100..6_000), rng.u32(0..2_000))
        };
        let hops = (0..rng.usize(4..=12)).map(|_| delay(rng)).collect();
        Self { hops, target: delay(rng) }
    }

    /// As [`of`](Self::of), of any length.
    fn long(rng: &mut fastrand::Rng) -> Self {
        let mut line = Self::of(rng);
        let spare = line.hops.clone();
        line.hops =
            (0..rng.usize(2..=18)).map(|index| spare[index % spare.len()].clone()).collect();
        line
    }

    fn text(&self, seed: u64) -> String {
        let mut text = format!("seed = {seed}\nsource = \"192.0.2.2\"\n");
        for (number, hop) in (1..).zip(&self.hops) {
            let _ = writeln!(text, "[[hop]]\naddress = \"198.51.100.{number}\"\n{hop}");
        }
        let _ = writeln!(text, "[target]\n{}", self.target);
        text
    }
}

fn pick<T: Copy>(rng: &mut fastrand::Rng, of: &[T]) -> T {
    of[rng.usize(..of.len())]
}

/// A limit as one or another maker has it.
fn any_limit(rng: &mut fastrand::Rng) -> String {
    let rate = pick(rng, &[0.5, 1.0, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
    let burst = pick(rng, &[1, 1, 2, 3, 5, 6, 10, 20, 50]);
    format!("rate = {{ per_second = {rate}, burst = {burst} }}")
}

/// A limit in each second, as BSD's.
fn bsd_limit(rng: &mut fastrand::Rng) -> String {
    let most = pick(rng, &[1, 2, 5, 10, 20, 50, 100, 200]);
    format!("rate = {{ per_second = {most}, burst = {most}, window = true }}")
}

/// A token bucket of any rate and burst, small ones as often as large ones.
fn any_bucket(rng: &mut fastrand::Rng) -> String {
    let (rate, burst) = (0.2 * 1_000_f64.powf(rng.f64()), 100_f64.powf(rng.f64()).round());
    format!("rate = {{ per_second = {rate:.3}, burst = {burst} }}")
}

/// Any number in each second.
fn any_window(rng: &mut fastrand::Rng) -> String {
    let most = 200_f64.powf(rng.f64()).round();
    format!("rate = {{ per_second = {most}, burst = {most}, window = true }}")
}

/// The same limit, of whose answers others get up to a third more than there are.
fn with_others(limit: &str, rng: &mut fastrand::Rng) -> String {
    let rate = limit.split("per_second = ").nth(1).and_then(|it| it.split(',').next());
    let rate: f64 = rate.and_then(|rate| rate.parse().ok()).unwrap();
    limit.replace(" }", &format!(", others = {:.3} }}", rate * rng.f64() * 1.3))
}

/// The same limit, of whose answers others get another part, if they get any.
fn busy(limit: &str, rng: &mut fastrand::Rng) -> String {
    let part = |it: &str| format!("others = {:.3}", it.parse::<f64>().unwrap() * rng.f64() * 1.5);
    let mut part = part;
    let mut text = String::new();
    let mut rest = limit;
    while let Some((before, after)) = rest.split_once("others = ") {
        let (number, after) = after.split_once(' ').unwrap();
        text = text + before + &part(number) + " ";
        rest = after;
    }
    text + rest
}

impl Case {
    /// A case in which nothing is lost but what a limit leaves unanswered.
    pub fn limit(number: u64) -> Self {
        let mut case = Self::any_limit(number, 0);
        // Of no interest is one that no probe meets.
        for attempt in 1.. {
            if case.run().lost() > 0 {
                break;
            }
            case = Self::any_limit(number, attempt);
        }
        case
    }

    fn any_limit(number: u64, attempt: u64) -> Self {
        let rng = &mut fastrand::Rng::with_seed(number * 1_000 + attempt);
        let mut line = Line::of(rng);
        let mut probe = pick(rng, &PROBES);
        let queries = pick(rng, &[1, 3, 3, 10]);
        let interval = pick(rng, &[0.1, 0.2, 0.25, 0.5, 0.9, 1.0, 1.0, 1.0, 2.0, 5.0, 10.0]);
        let rounds = rng.u64(10..=100);
        let silent = "silent = true";
        let what = match number % 8 {
            0 => {
                line.hops.iter_mut().for_each(|hop| hop.push_str(LINUX));
                line.target.push_str(silent);
                "every router 1/s, burst 6, target silent"
            }
            1 => {
                probe = ProbeType::Udp;
                line.target.push_str(LINUX);
                if rng.bool() {
                    line.hops.iter_mut().for_each(|hop| hop.push_str(LINUX));
                }
                "a Linux target that limits its port unreachables"
            }
            2 => {
                line.hops.iter_mut().for_each(|hop| hop.push_str(&bsd_limit(rng)));
                line.target.push_str(&if rng.bool() { silent.to_owned() } else { bsd_limit(rng) });
                "BSD's limits"
            }
            3 => {
                for hop in &mut line.hops {
                    let limit = any_limit(rng);
                    hop.push_str(if rng.bool() { &limit } else { "" });
                }
                line.target.push_str(pick(rng, &["", silent]));
                "some routers limit"
            }
            4 => {
                let limit = any_limit(rng).replace(" }", ", shared = 1 }");
                line.hops.iter_mut().for_each(|hop| hop.push_str(&limit));
                line.target.push_str(pick(rng, &["", silent, &limit]));
                "one limit that all routers share"
            }
            5 => {
                let both = format!("{LINUX}\n{LINUX_ALL}");
                line.hops.iter_mut().for_each(|hop| {
                    let others = rng.u32(0..1_100);
                    hop.push_str(
                        &both.replace("burst = 50", &format!("burst = 50, others = {others}")),
                    );
                });
                line.target.push_str(silent);
                "Linux's limits for each and for all, with others"
            }
            6 => {
                line.hops.iter_mut().for_each(|hop| hop.push_str(&any_limit(rng)));
                line.target.push_str(&if rng.bool() { silent.to_owned() } else { any_limit(rng) });
                "each router its own limit"
            }
            _ => {
                let limit = any_limit(rng);
                line.hops.iter_mut().for_each(|hop| hop.push_str(&limit));
                line.target.push_str(&if rng.bool() { silent.to_owned() } else { limit });
                "every router the same limit"
            }
        };
        let topology = line.text(number);
        Self { what, topology, probe, queries, interval, rounds, lossy: None }
    }

    /// As [`limit`](Self::limit), of limits that nothing was tuned on: any rate and burst, also between those that makers have, tokens that
    /// others use up, and paths of any length. How busy routers are is their own: if all of them were as busy as each other, it would be as if the
    /// first link lost.
    pub fn held_out(number: u64) -> Self {
        let seeds = (0..).map(|attempt| (number + 1).wrapping_mul(0x9e37_79b9) + attempt * 7_919);
        let mut cases = seeds.map(|seed| Self::any_held_out(number, seed));
        cases.find(|case| case.run().lost() > 0).unwrap()
    }

    fn any_held_out(number: u64, seed: u64) -> Self {
        let rng = &mut fastrand::Rng::with_seed(seed);
        let mut line = Line::long(rng);
        let mut probe = pick(rng, &PROBES);
        let queries = rng.u16(1..=10);
        let interval = pick(rng, &[0.1, 0.15, 0.3, 0.4, 0.7, 1.0, 1.0, 1.0, 1.3, 3.0, 7.0]);
        let rounds = rng.u64(10..=100);
        let silent = "silent = true";
        let (what, limit): (&str, fn(&mut fastrand::Rng) -> String) = match number % 8 {
            0 => ("a bucket of any rate and burst", any_bucket),
            1 => ("a bucket of any rate and burst that others use up", |rng| {
                with_others(&any_bucket(rng), rng)
            }),
            2 => ("a window of a second", any_window),
            3 => ("a window of a second, with others", |rng| with_others(&any_window(rng), rng)),
            4 => ("Cisco's 2 a second, one at once", |rng| {
                let cisco = "rate = { per_second = 2, burst = 1 }";
                if rng.bool() { cisco.to_owned() } else { with_others(cisco, rng) }
            }),
            5 => ("Juniper's 50 a second, with others", |rng| {
                let burst = pick(rng, &[1, 10, 50, 250]);
                with_others(&format!("rate = {{ per_second = 50, burst = {burst} }}"), rng)
            }),
            6 => ("Linux's for each and for all, with others", |rng| {
                let all =
                    LINUX_ALL.replace("50 }", &format!("50, others = {} }}", rng.u32(0..1_300)));
                format!("{LINUX}\n{all}")
            }),
            _ => ("a mix", |rng| {
                let limit = if rng.bool() { any_bucket(rng) } else { any_window(rng) };
                if rng.bool() { limit } else { with_others(&limit, rng) }
            }),
        };
        let (one, share) = (limit(rng), rng.u32(1..=4));
        let same = rng.bool();
        for hop in &mut line.hops {
            // All of them, or some.
            if rng.u32(..4) < share {
                let own = limit(rng);
                hop.push_str(&if same { busy(&one, rng) } else { own });
            }
        }
        let own = limit(rng);
        line.target.push_str(pick(rng, &["", silent, silent, &own]));
        if line.target.contains("rate") {
            // What is limited are errors.
            probe = ProbeType::Udp;
        }
        let topology = line.text(seed);
        Self { what, topology, probe, queries, interval, rounds, lossy: None }
    }

    /// A case in which a link loses a twentieth of the packets or more; over a hundred rounds.
    pub fn path(number: u64) -> Self {
        let rng = &mut fastrand::Rng::with_seed(!number);
        let mut line = Line::of(rng);
        let answers = rng.bool();
        let routers = line.hops.len();
        // What only the last router loses that answers is not proof: see `docs/watch.md`.
        let most = if answers { routers } else { routers - 2 };
        let at = rng.usize(0..=most);
        let loss = pick(rng, &[0.05, 0.05, 0.06, 0.08, 0.1, 0.15, 0.25]);
        let lossy = line.hops.get_mut(at).unwrap_or(&mut line.target);
        let _ = writeln!(lossy, "loss = {loss}");
        let limited = number % 2 == 1;
        let what = match (answers, limited) {
            (true, true) => "target answers, some routers limit",
            (true, false) => "target answers",
            (false, true) => "target silent, some routers limit",
            (false, false) => "target silent",
        };
        if limited {
            // At least two at the lossy link or beyond do not.
            let open = [at, at + 1];
            for (index, hop) in line.hops.iter_mut().enumerate() {
                if !open.contains(&index) && rng.u32(..3) == 0 {
                    hop.push_str(LINUX);
                }
            }
        }
        if !answers {
            line.target.push_str("silent = true");
        }
        Self {
            what,
            topology: line.text(number),
            probe: pick(rng, &PROBES),
            queries: pick(rng, &[1, 3]),
            interval: pick(rng, &[0.1, 0.25, 0.5, 1.0, 1.0, 1.0, 2.0, 10.0]),
            rounds: 100,
            lossy: u8::try_from(at + 1).ok(),
        }
    }

    /// Watches it.
    pub fn run(&self) -> Outcome {
        let mut outcome = Outcome::default();
        self.show(&mut outcome);
        outcome
    }

    /// What is asked in each round.
    pub fn config(&self) -> TraceConfig {
        let source = self.network().source_for(TARGET);
        let flow = Flow { source, target: TARGET, probe: self.probe, ident: 40_000 };
        let config = TraceConfig::of_flow(&flow).scouting();
        TraceConfig { queries: self.queries, max_ttl: 20, ..config }
    }

    /// Shows it to somebody.
    pub fn show(&self, observer: &mut dyn Observer) {
        let plan = Plan { interval: self.interval, rounds: Some(self.rounds), until: None };
        let mut rounds = Rounds::new(self.config(), plan).unwrap();
        driver::run(&mut rounds, &mut SimLink::new(self.network()), observer).unwrap();
    }

    fn network(&self) -> Topology {
        Topology::parse(&self.topology, self.what).unwrap()
    }

    /// Whether it is told for what it is: no limit is said to be loss of the path, and loss of the path is said to be that.
    pub fn is_right(&self, outcome: &Outcome) -> bool {
        match self.lossy {
            None => outcome.path().is_empty(),
            Some(first) => {
                let rows = outcome.table.rows().iter().zip(outcome.verdicts());
                let mut lossy = rows.filter(|(_, verdict)| verdict.loss == Loss::Path);
                lossy.any(|(row, _)| row.ttl >= first)
                    && outcome.path().iter().all(|ttl| *ttl >= first)
            }
        }
    }
}
