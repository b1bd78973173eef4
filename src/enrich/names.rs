//! Reverse names of responders, looked up beside the trace and never waited for long.
//!
//! Invariants: an address is asked for once, and what is said of it first (a name, or that it has
//! none) stands for the rest of the run, so that text, JSON and recording agree. An address whose
//! answer is not there in time has no name. Names are hostile input, wherever they come from: only
//! [`sanitize`]d ones are ever stored.
//!
//! Lookups go through the C library (`getnameinfo`), which can be neither cancelled nor hurried:
//! they run in a few threads that nobody waits for, and that end with the process.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// How long a name is waited for unless told otherwise.
pub const DEFAULT_WAIT: Duration = Duration::from_millis(1_500);

/// No wait is longer: moments must not run out of their range.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// How many lookups run at a time.
const THREADS: usize = 8;

/// The longest a domain name can be (RFC 1035 §2.3.4).
const LONGEST: usize = 255;

/// What is known of an address's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a> {
    /// It has not been asked for.
    Unasked,
    /// An answer may still come.
    Pending,
    /// Its name, or that it has none; final.
    Known(Option<&'a str>),
}

/// The names of addresses, as far as they are known.
pub struct Names {
    entries: HashMap<IpAddr, Entry>,
    wait: Duration,
    /// `None` when names are given, not looked up.
    pool: Option<Pool>,
}

/// What is kept of an address.
enum Entry {
    Pending { give_up: Instant },
    Known(Option<String>),
}

/// How an address becomes a name: `None` if there is none to be had. May take as long as it likes.
type Resolver = dyn Fn(IpAddr) -> Option<String> + Send + Sync;

impl Names {
    /// Names looked up by the C library, each given up `wait` after it was asked for. `wake` is
    /// called, from another thread, whenever [`poll`](Self::poll) has something to take in.
    #[must_use]
    pub fn new(wake: impl Fn() + Send + Sync + 'static, wait: Duration) -> Self {
        Self::with_resolver(|address| dns_lookup::lookup_addr(&address).ok(), wake, wait)
    }

    /// Like [`new`](Self::new), with another way to look names up.
    #[must_use]
    pub fn with_resolver(
        resolve: impl Fn(IpAddr) -> Option<String> + Send + Sync + 'static,
        wake: impl Fn() + Send + Sync + 'static,
        wait: Duration,
    ) -> Self {
        let pool = Pool::new(Arc::new(resolve), Arc::new(wake));
        let wait = wait.min(LONGEST_WAIT);
        Self { entries: HashMap::new(), wait, pool: Some(pool) }
    }

    /// Names that were known beforehand: those of a recording or a simulated network. An address
    /// that is not among them has none. Nothing is ever looked up.
    pub fn fixed<N: AsRef<str>>(names: impl IntoIterator<Item = (IpAddr, N)>) -> Self {
        let known = |(address, name): (IpAddr, N)| (address, Entry::Known(clean(name.as_ref())));
        let entries = names.into_iter().map(known).collect();
        Self { entries, wait: Duration::ZERO, pool: None }
    }

    /// Asks for the name of `address`, if that has not been done before.
    pub fn request(&mut self, address: IpAddr) {
        let Some(pool) = &mut self.pool else { return };
        self.entries.entry(address).or_insert_with(|| {
            pool.ask(address);
            Entry::Pending { give_up: Instant::now() + self.wait }
        });
    }

    /// Takes in the answers that have come, and gives up what has been waited for long enough.
    pub fn poll(&mut self) {
        while let Some(answer) = self.pool.as_ref().and_then(|pool| pool.answers.try_recv().ok()) {
            self.settle(answer);
        }
        let now = Instant::now();
        for entry in self.entries.values_mut() {
            if matches!(entry, Entry::Pending { give_up } if *give_up <= now) {
                *entry = Entry::Known(None);
            }
        }
    }

    /// What is known of the name of `address`.
    #[must_use]
    pub fn lookup(&self, address: IpAddr) -> Lookup<'_> {
        match self.entries.get(&address) {
            Some(Entry::Pending { .. }) => Lookup::Pending,
            Some(Entry::Known(name)) => Lookup::Known(name.as_deref()),
            None if self.pool.is_none() => Lookup::Known(None),
            None => Lookup::Unasked,
        }
    }

    /// When [`poll`](Self::poll) should be called at the latest, to give up a name; `None` when no
    /// answer is awaited.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        let pending = self.entries.values().filter_map(|entry| match entry {
            Entry::Pending { give_up } => Some(*give_up),
            Entry::Known(_) => None,
        });
        pending.min()
    }

    /// Blocks until every name asked for is known or given up.
    pub fn wait_all(&mut self) {
        self.poll();
        while let (Some(deadline), Some(pool)) = (self.next_deadline(), &self.pool) {
            match pool.answers.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(answer) => self.settle(answer),
                Err(RecvTimeoutError::Timeout) => {}
                // No thread could be started: nothing but the deadline is left to wait for.
                Err(RecvTimeoutError::Disconnected) => {
                    thread::sleep(deadline.saturating_duration_since(Instant::now()));
                }
            }
            self.poll();
        }
    }

    /// Stops waiting: what is not known by now has no name.
    pub fn give_up(&mut self) {
        self.poll();
        for entry in self.entries.values_mut() {
            if matches!(entry, Entry::Pending { .. }) {
                *entry = Entry::Known(None);
            }
        }
    }

    /// Takes in one answer, unless it comes too late.
    fn settle(&mut self, (address, name): Answer) {
        if let Some(entry @ Entry::Pending { .. }) = self.entries.get_mut(&address) {
            *entry = Entry::Known(name.as_deref().and_then(clean));
        }
    }
}

type Answer = (IpAddr, Option<String>);

/// The threads that look names up. They end when the pool is dropped, or else with the process.
struct Pool {
    resolve: Arc<Resolver>,
    wake: Arc<dyn Fn() + Send + Sync>,
    jobs: Sender<IpAddr>,
    queue: Arc<Mutex<Receiver<IpAddr>>>,
    answers: Receiver<Answer>,
    answer: Sender<Answer>,
    threads: usize,
}

impl Pool {
    fn new(resolve: Arc<Resolver>, wake: Arc<dyn Fn() + Send + Sync>) -> Self {
        let (jobs, queue) = mpsc::channel();
        let (answer, answers) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        Self { resolve, wake, jobs, queue, answers, answer, threads: 0 }
    }

    /// Queues an address, and starts a thread for it while there are not enough. If none can be
    /// started, the name is given up in its time like that of a dead resolver.
    fn ask(&mut self, address: IpAddr) {
        let _ = self.jobs.send(address);
        if self.threads < THREADS {
            let (resolve, wake) = (Arc::clone(&self.resolve), Arc::clone(&self.wake));
            let (queue, answer) = (Arc::clone(&self.queue), self.answer.clone());
            let work = move || {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(address) = next else { return };
                    if answer.send((address, resolve(address))).is_err() {
                        return;
                    }
                    wake();
                }
            };
            let name = "names".to_owned();
            self.threads += usize::from(thread::Builder::new().name(name).spawn(work).is_ok());
        }
    }
}

/// A name that may be shown: sanitised, and really a name. An address as text is none: it is what
/// some resolvers say for want of one, and what a liar would say.
fn clean(name: &str) -> Option<String> {
    (!name.is_empty() && name.parse::<IpAddr>().is_err()).then(|| sanitize(name))
}

/// `name` with everything but ASCII letters, digits, `-`, `_` and `.` replaced by `?`, and cut at
/// 255 characters: safe on a terminal, in a page, and in text that programs read.
#[must_use]
pub fn sanitize(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '?' };
    name.chars().take(LONGEST).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough that no test comes to its end.
    const LONG: Duration = Duration::from_hours(1);

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn hostile_names_are_defused() {
        for (name, expect) in [
            ("a-b_c.example.net", "a-b_c.example.net"),
            ("evil\x1b[2J\r\n", "evil??2J??"),
            ("x (192.0.2.1)", "x??192.0.2.1?"),
            ("b\u{fc}cher\u{202e}.example", "b?cher?.example"),
            ("<script>&\"'`", "?script?????"),
            ("\0", "?"),
        ] {
            assert_eq!(sanitize(name), expect);
        }
        assert_eq!(sanitize(&"\u{fc}".repeat(999)), "?".repeat(255));
    }

    #[test]
    fn addresses_and_nothing_are_no_names() {
        let names = ["192.0.2.7", "::1", "", "host"].into_iter();
        let names = Names::fixed((0..).map(address).zip(names));
        for last in 0..3 {
            assert_eq!(names.lookup(address(last)), Lookup::Known(None));
        }
        assert_eq!(names.lookup(address(3)), Lookup::Known(Some("host")));
    }

    #[test]
    fn fixed_names_are_never_looked_up() {
        let mut names = Names::fixed([(address(1), "a\tb")]);
        names.request(address(2));
        names.wait_all();
        assert_eq!(names.lookup(address(1)), Lookup::Known(Some("a?b")));
        assert_eq!(names.lookup(address(2)), Lookup::Known(None));
        assert_eq!(names.next_deadline(), None);
    }

    #[test]
    fn each_address_is_asked_for_once() {
        let (asked, asks) = mpsc::channel();
        let resolve = move |address: IpAddr| {
            asked.send(address).unwrap();
            Some(format!("name-of-{address}\x07"))
        };
        let mut names = Names::with_resolver(resolve, || {}, LONG);
        assert_eq!(names.lookup(address(1)), Lookup::Unasked);
        for last in [1, 2, 1, 1, 2] {
            names.request(address(last));
        }
        names.wait_all();
        assert_eq!(names.lookup(address(1)), Lookup::Known(Some("name-of-192.0.2.1?")));
        names.request(address(1));
        assert_eq!(names.next_deadline(), None);
        drop(names);
        let mut seen: Vec<_> = asks.iter().collect();
        seen.sort();
        assert_eq!(seen, [address(1), address(2)]);
    }

    #[test]
    fn a_dead_resolver_costs_one_wait_and_a_late_answer_changes_nothing() {
        let (release, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let (woken, wakes) = mpsc::channel();
        let resolve = move |_| {
            let _ = gate.lock().unwrap().recv();
            Some("late".to_owned())
        };
        let mut names =
            Names::with_resolver(resolve, move || woken.send(()).unwrap_or(()), Duration::ZERO);
        for last in 0..20 {
            names.request(address(last)); // more than there are threads
        }
        assert_eq!(names.lookup(address(0)), Lookup::Pending);
        names.wait_all();
        assert!((0..20).all(|last| names.lookup(address(last)) == Lookup::Known(None)));
        release.send(()).unwrap();
        wakes.recv().unwrap();
        names.poll();
        assert!((0..20).all(|last| names.lookup(address(last)) == Lookup::Known(None)));
    }

    #[test]
    fn an_answer_wakes_and_is_taken_in() {
        let (woken, wakes) = mpsc::channel();
        let mut names = Names::with_resolver(|_| None, move || woken.send(()).unwrap(), LONG);
        names.request(address(1));
        assert_eq!(names.lookup(address(1)), Lookup::Pending);
        assert!(names.next_deadline().is_some());
        wakes.recv().unwrap();
        names.poll();
        assert_eq!(names.lookup(address(1)), Lookup::Known(None));
    }
}
