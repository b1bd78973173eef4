//! Asking elsewhere about what a trace shows, beside the trace, and never waiting for long.
//!
//! Invariants: a key is asked for once, and the first answer (a value, or that there is none)
//! stands for the rest of the run, so that text, JSON and recording agree. A key whose answer is not
//! there in time has no value. Only where a run is long, and reports at its end, may a value
//! [still come](Lookups::with_retries) for a key that had none.
//!
//! What has to be asked of the network is asked of others: threads ([`Pool`]), or another process. What is at hand
//! (a file that has been read) is looked up at once.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use super::pool::Pool;

/// How long an answer is waited for by default.
pub const DEFAULT_WAIT: Duration = Duration::from_millis(1_500);

/// No wait is longer: moments must not run out of their range.
const LONGEST_WAIT: Duration = Duration::from_hours(24);

/// After how long a key without a value is asked for again where that is done.
const AGAIN: Duration = Duration::from_secs(30);

/// What is known of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup<'a, V> {
    /// It has not been asked for.
    Unasked,
    /// An answer may still come.
    Pending,
    /// Its value, or that it has none; final.
    Known(Option<&'a V>),
}

/// The values of keys, as far as they are known.
pub struct Lookups<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// How many of them are waited for.
    pending: usize,
    wait: Duration,
    source: Source<K, V>,
    /// A value may still come.
    again: bool,
}

/// What is kept of a key.
enum Entry<V> {
    Pending {
        give_up: Instant,
    },
    Known(Option<V>),
    /// It was asked for then, and there was none.
    Missing {
        asked: Instant,
    },
}

/// Looks up the value of a key; `None` if there is none.
type Resolve<K, V> = dyn Fn(K) -> Option<V> + Send + Sync;

/// What passes a question on to others.
type Ask<K> = dyn FnMut(K) + Send;

/// Where values come from.
enum Source<K, V> {
    /// Values given beforehand, perhaps shared; other keys have none.
    Given(Arc<HashMap<K, Option<V>>>),
    /// Values that are looked up immediately.
    Held(Box<Resolve<K, V>>),
    /// Values that a query returns later.
    Asked { ask: Box<Ask<K>>, answers: Receiver<(K, Option<V>)> },
}

impl<K, V> Lookups<K, V>
where
    K: Copy + Eq + Hash + Send + 'static,
    V: Send + 'static,
{
    /// Values that `resolve` asks for in its own time, each of which times out `wait` after it was requested.
    /// `wake` is called, from another thread, whenever [`poll`](Self::poll) has something to take in.
    #[must_use]
    pub fn asked(
        resolve: impl Fn(K) -> Option<V> + Send + Sync + 'static,
        wake: impl Fn() + Send + Sync + 'static,
        wait: Duration,
    ) -> Self {
        let (answer, answers) = mpsc::channel();
        let mut pool = Pool::new(move |key| {
            if answer.send((key, resolve(key))).is_ok() {
                wake();
            }
        });
        Self::answered(move |key| pool.ask(key), answers, wait)
    }

    /// Values that `ask` asks others for, and that come as `answers`, each of which times out `wait` after it was requested. Whoever
    /// answers sees to it that [`poll`](Self::poll) is called.
    #[must_use]
    pub fn answered(
        ask: impl FnMut(K) + Send + 'static,
        answers: Receiver<(K, Option<V>)>,
        wait: Duration,
    ) -> Self {
        let source = Source::Asked { ask: Box::new(ask), answers };
        Self {
            entries: HashMap::new(),
            pending: 0,
            wait: wait.min(LONGEST_WAIT),
            source,
            again: false,
        }
    }

    /// A value may still come for a key that had none: late, or because it is asked for again, which is done when it
    /// is requested half a minute later.
    #[must_use]
    pub fn with_retries(self) -> Self {
        Self { again: true, ..self }
    }

    /// Values that `resolve` has at hand: it must neither block nor take longer than a trace can spare.
    #[must_use]
    pub fn held(resolve: impl Fn(K) -> Option<V> + Send + Sync + 'static) -> Self {
        let source = Source::Held(Box::new(resolve));
        Self { entries: HashMap::new(), pending: 0, wait: Duration::ZERO, source, again: false }
    }

    /// Values that were known beforehand. Nothing is ever looked up.
    pub fn given(values: impl IntoIterator<Item = (K, Option<V>)>) -> Self {
        Self::shared(Arc::new(values.into_iter().collect()))
    }

    /// Lookups of given values that are shared with others.
    #[must_use]
    pub fn shared(values: Arc<HashMap<K, Option<V>>>) -> Self {
        let source = Source::Given(values);
        Self { entries: HashMap::new(), pending: 0, wait: Duration::ZERO, source, again: false }
    }

    /// What is known of the value of `key`.
    #[must_use]
    pub fn lookup(&self, key: K) -> Lookup<'_, V> {
        match (self.entries.get(&key), &self.source) {
            (Some(Entry::Pending { .. }), _) => Lookup::Pending,
            (Some(Entry::Known(value)), _) => Lookup::Known(value.as_ref()),
            (None, Source::Given(values)) => {
                Lookup::Known(values.get(&key).and_then(Option::as_ref))
            }
            (Some(Entry::Missing { .. }), _) => Lookup::Known(None),
            (None, _) => Lookup::Unasked,
        }
    }

    /// Takes in one answer, unless it comes too late. Returns whether it did.
    fn settle(&mut self, (key, value): (K, Option<V>)) -> bool {
        let Some(entry) = self.entries.get_mut(&key) else { return false };
        self.pending -= usize::from(matches!(entry, Entry::Pending { .. }));
        *entry = match (&*entry, value) {
            (Entry::Pending { .. }, None) => Entry::Missing { asked: Instant::now() },
            (Entry::Pending { .. }, value) => Entry::Known(value),
            (Entry::Missing { .. }, Some(value)) if self.again => Entry::Known(Some(value)),
            _ => return false,
        };
        true
    }

    /// Gives up the values that are waited for until one of these moments. Returns whether there are any.
    fn give_up_where(&mut self, of: impl Fn(&Instant) -> bool) -> bool {
        let before = self.pending;
        // Most of the time none is waited for, however many are known.
        for entry in self.entries.values_mut().filter(|_| before > 0) {
            if matches!(entry, Entry::Pending { give_up } if of(give_up)) {
                *entry = Entry::Missing { asked: Instant::now() };
                self.pending -= 1;
            }
        }
        self.pending < before
    }

    /// Asks once more for a key that had no value, if its time has come.
    fn ask_again(&mut self, key: K) {
        if let Some(Entry::Missing { asked }) = self.entries.get_mut(&key)
            && let Source::Asked { ask, .. } = &mut self.source
            && self.again
            && asked.elapsed() >= AGAIN
        {
            *asked = Instant::now();
            ask(key);
        }
    }
}

/// What a run does with lookups of any kind, whatever their values are.
pub trait PendingLookups<K> {
    /// Asks for the value of `key`, the first time and when it is due again.
    fn request(&mut self, key: K);

    /// Takes in the answers that have come, and gives up what has been waited for long enough. Returns whether that changed
    /// anything.
    fn poll(&mut self) -> bool;

    /// When [`poll`](Self::poll) should be called at the latest, to give something up; `None` when no
    /// answer is awaited.
    fn next_deadline(&self) -> Option<Instant>;

    /// Blocks until everything asked for is known or timed out.
    fn wait_all(&mut self);

    /// Stops waiting: what is not known by now has no value.
    fn give_up(&mut self);
}

impl<K, V> PendingLookups<K> for Lookups<K, V>
where
    K: Copy + Eq + Hash + Send + 'static,
    V: Send + 'static,
{
    fn request(&mut self, key: K) {
        if self.entries.contains_key(&key) {
            return self.ask_again(key);
        }
        let entry = match &mut self.source {
            Source::Given(_) => return,
            Source::Held(resolve) => Entry::Known(resolve(key)),
            Source::Asked { ask, .. } => {
                ask(key);
                self.pending += 1;
                Entry::Pending { give_up: Instant::now() + self.wait }
            }
        };
        self.entries.insert(key, entry);
    }

    fn poll(&mut self) -> bool {
        let mut changed = false;
        while let Source::Asked { answers, .. } = &self.source
            && let Ok(answer) = answers.try_recv()
        {
            changed |= self.settle(answer);
        }
        let now = Instant::now();
        changed | self.give_up_where(|at| *at <= now)
    }

    fn next_deadline(&self) -> Option<Instant> {
        if self.pending == 0 {
            return None;
        }
        let pending = self.entries.values().filter_map(|entry| match entry {
            Entry::Pending { give_up } => Some(*give_up),
            Entry::Known(_) | Entry::Missing { .. } => None,
        });
        pending.min()
    }

    fn wait_all(&mut self) {
        self.poll();
        while let (Some(deadline), Source::Asked { answers, .. }) =
            (self.next_deadline(), &self.source)
        {
            if let Some(answer) = next_answer(answers, deadline) {
                self.settle(answer);
            }
            self.poll();
        }
    }

    fn give_up(&mut self) {
        self.poll();
        self.give_up_where(|_| true);
    }
}

/// Waits for the next answer, until `deadline` at the latest.
fn next_answer<A>(answers: &Receiver<A>, deadline: Instant) -> Option<A> {
    let left = || deadline.saturating_duration_since(Instant::now());
    match answers.recv_timeout(left()) {
        Ok(answer) => Some(answer),
        Err(RecvTimeoutError::Timeout) => None,
        // Nothing but the deadline is left to wait for.
        Err(RecvTimeoutError::Disconnected) => {
            thread::sleep(left());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::mpsc::Sender;

    use super::*;

    /// Long enough that no test comes to its end.
    const LONG: Duration = Duration::from_hours(1);

    #[test]
    fn what_is_given_is_never_looked_up() {
        let mut values = Lookups::given([(1, Some("a"))]);
        values.request(2);
        values.wait_all();
        assert_eq!(values.lookup(1), Lookup::Known(Some(&"a")));
        assert_eq!(values.lookup(2), Lookup::Known(None));
        assert_eq!(values.next_deadline(), None);
    }

    #[test]
    fn what_is_at_hand_is_known_at_once() {
        let mut values = Lookups::held(|key: u8| key.is_multiple_of(2).then_some(key / 2));
        assert_eq!(values.lookup(4), Lookup::Unasked);
        for key in [3, 4] {
            values.request(key);
        }
        assert_eq!(values.lookup(3), Lookup::Known(None));
        assert_eq!(values.lookup(4), Lookup::Known(Some(&2)));
        assert_eq!(values.next_deadline(), None);
    }

    #[test]
    fn each_key_is_asked_for_once() {
        let (asked, asks) = mpsc::channel();
        let resolve = move |key: u8| {
            asked.send(key).unwrap();
            Some(u16::from(key) * 100)
        };
        let mut values = Lookups::asked(resolve, || {}, LONG);
        assert_eq!(values.lookup(1), Lookup::Unasked);
        for key in [1, 2, 1, 1, 2] {
            values.request(key);
        }
        values.wait_all();
        assert_eq!(values.lookup(1), Lookup::Known(Some(&100)));
        values.request(1);
        assert_eq!(values.next_deadline(), None);
        drop(values);
        let mut seen: Vec<_> = asks.iter().collect();
        seen.sort_unstable();
        assert_eq!(seen, [1, 2]);
    }

    /// Values that time out at once; one answer for each that is released, and a word when it is there.
    fn late() -> (Lookups<u8, &'static str>, Sender<()>, Receiver<()>) {
        let (release, gate) = mpsc::channel::<()>();
        let gate = Mutex::new(gate);
        let (woken, wakes) = mpsc::channel();
        let resolve = move |_| {
            let _ = gate.lock().unwrap().recv();
            Some("late")
        };
        let wake = move || woken.send(()).unwrap_or(());
        (Lookups::asked(resolve, wake, Duration::ZERO), release, wakes)
    }

    #[test]
    fn a_dead_resolver_costs_one_wait_and_a_late_answer_changes_nothing() {
        let (mut values, release, wakes) = late();
        for key in 0..20 {
            values.request(key); // more than there are threads
        }
        assert_eq!(values.lookup(0), Lookup::Pending);
        values.wait_all();
        assert!((0..20).all(|key| values.lookup(key) == Lookup::Known(None)));
        release.send(()).unwrap();
        wakes.recv().unwrap();
        values.poll();
        assert!((0..20).all(|key| values.lookup(key) == Lookup::Known(None)));
    }

    #[test]
    fn a_late_answer_counts_where_values_may_still_come() {
        let (values, release, wakes) = late();
        let mut values = values.with_retries();
        values.request(1);
        values.wait_all();
        assert_eq!(values.lookup(1), Lookup::Known(None));
        release.send(()).unwrap();
        wakes.recv().unwrap();
        values.poll();
        assert_eq!(values.lookup(1), Lookup::Known(Some(&"late")));
    }

    #[test]
    fn a_key_without_a_value_is_asked_for_again_in_its_time() {
        let (asked, asks) = mpsc::channel();
        let resolve = move |key: u8| {
            asked.send(key).unwrap();
            None::<u8>
        };
        let mut values = Lookups::asked(resolve, || {}, LONG).with_retries();
        values.request(1);
        values.wait_all();
        values.request(1);
        assert_eq!(values.lookup(1), Lookup::Known(None));
        if let Some(Entry::Missing { asked }) = values.entries.get_mut(&1) {
            *asked -= AGAIN;
        }
        values.request(1);
        values.request(1);
        drop(values);
        assert_eq!(asks.iter().collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn an_answer_wakes_and_is_taken_in() {
        let (woken, wakes) = mpsc::channel();
        let none = |_| None::<u8>;
        let mut values = Lookups::asked(none, move || woken.send(()).unwrap(), LONG);
        values.request(1);
        assert_eq!(values.lookup(1), Lookup::Pending);
        assert!(values.next_deadline().is_some());
        wakes.recv().unwrap();
        values.poll();
        assert_eq!(values.lookup(1), Lookup::Known(None));
    }
}
