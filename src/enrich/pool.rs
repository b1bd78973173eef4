//! Threads that look things up.
//!
//! What has to be asked of the network may take as long as it likes and can often be neither cancelled nor hurried:
//! such lookups run in a few threads that nobody waits for, and that end with the process.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

/// How many lookups of a pool run at a time.
const THREADS: usize = 8;

/// Threads that answer questions in the order in which they are asked, several at a time. They end when the pool
/// is dropped and its questions are answered, or else with the process.
pub struct Pool<Q> {
    answer: Arc<dyn Fn(Q) + Send + Sync>,
    questions: Sender<Q>,
    queue: Arc<Mutex<Receiver<Q>>>,
    threads: usize,
    /// Questions that are not answered yet.
    open: Arc<AtomicUsize>,
}

impl<Q: Send + 'static> Pool<Q> {
    /// A pool that has `answer` called, in its threads, for each question.
    #[must_use]
    pub fn new(answer: impl Fn(Q) + Send + Sync + 'static) -> Self {
        let (questions, queue) = mpsc::channel();
        let queue = Arc::new(Mutex::new(queue));
        Self { answer: Arc::new(answer), questions, queue, threads: 0, open: Arc::default() }
    }

    /// Queues a question, and starts a thread for it while there are not enough. If none can be started, it is
    /// never answered, like that of a dead resolver.
    pub fn ask(&mut self, question: Q) {
        let open = self.open.fetch_add(1, Ordering::AcqRel) + 1;
        let _ = self.questions.send(question);
        if self.threads < THREADS.min(open) {
            let (answer, open) = (Arc::clone(&self.answer), Arc::clone(&self.open));
            let queue = Arc::clone(&self.queue);
            let work = move || {
                loop {
                    let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(question) = next else { return };
                    answer(question);
                    open.fetch_sub(1, Ordering::AcqRel);
                }
            };
            let started = thread::Builder::new().name("lookups".to_owned()).spawn(work);
            self.threads += usize::from(started.is_ok());
        }
    }
}
