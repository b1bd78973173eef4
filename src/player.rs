//! A recording on the screen of a watch: moved through at any speed, round by round, to a round or a moment, and back.
//!
//! What is shown at a moment is a function of configuration and the frames up to it, so that the end is what the live
//! watch ended with. To go on is to hand further frames to the tracer. To go back is to begin anew and go on from there;
//! lest that take long, some twenty copies of what was known on the way are kept, evenly spaced however long the
//! recording is, and it is begun with one of them.
//!
//! A player reads no clock and works in steps of a given size: [`Player::work`]. Where it is to go is set by
//! what it is asked for, at once.

use std::io::Read;

use crate::capture::{CaptureError, CaptureReader};
use crate::driver::{Driver, Observer};
use crate::enrich::Annotations;
use crate::enrich::lookups::PendingLookups;
use crate::link::replay::ReplayLink;
use crate::link::{Link, LinkError};
use crate::render::View;
use crate::render::tui::moment::Goal;
use crate::render::tui::{Model, Playback, Target};
use crate::time::{Span, Timestamp};
use crate::trace::endpoint::{Endpoint, TraceId};
use crate::trace::table::Table;
use crate::trace::{Disposition, Engine, Event, Path, TraceConfig};
use crate::wire::Frame;

/// How many entries of the file lie between two copies at first: some milliseconds of work.
const SPACING: u64 = 4_096;
/// When there are more copies than this, every second one is given up.
const COPIES: usize = 32;

/// How a recording is opened, again and again.
type Open<R> = Box<dyn Fn() -> Result<CaptureReader<R>, CaptureError>>;

/// A recording, and where in it we are.
pub struct Player<R: Read> {
    open: Open<R>,
    link: ReplayLink<R>,
    config: TraceConfig,
    annotations: Annotations,
    place: Place,
    copies: Copies,
    goal: Goal,
    /// The destination is before the current place.
    back: bool,
    playing: bool,
    speed: f64,
    /// When the last frame was captured and how many rounds there are: once that is known.
    end: Option<(Timestamp, u64)>,
    /// Where what was known before was forgotten.
    forgotten: Option<Mark>,
}

impl<R: Read> Player<R> {
    /// A player at the beginning of a recording, moving to its end. `engine` watches the trace, of which `interval` is
    /// how many seconds its rounds take, if it has rounds.
    ///
    /// # Errors
    /// When the recording cannot be opened.
    pub fn new(
        open: impl Fn() -> Result<CaptureReader<R>, CaptureError> + 'static,
        config: TraceConfig,
        engine: impl Engine + Clone + 'static,
        interval: Option<f64>,
        annotations: impl Into<Annotations>,
    ) -> Result<Self, CaptureError> {
        let seen = Seen {
            mark: Mark::default(),
            began: None,
            first: None,
            latest: 0,
            cut_short: 0,
            model: Model::new(&config, interval),
        };
        let place = Place { engine: Box::new(engine), seen, over: false };
        Ok(Self {
            link: ReplayLink::new(open()?),
            open: Box::new(open),
            config,
            annotations: annotations.into(),
            copies: Copies { all: vec![place.clone()], spacing: SPACING },
            place,
            goal: Goal::Round(u64::MAX),
            back: false,
            playing: false,
            speed: 1.0,
            end: None,
            forgotten: None,
        })
    }

    /// Sets after how many entries of the file a copy is kept, at first.
    #[must_use]
    pub fn spaced(mut self, things: u64) -> Self {
        self.copies.spacing = things.max(1);
        self
    }

    /// Moves towards its destination by at most this number of entries of the file. Returns whether it is there.
    ///
    /// # Errors
    /// When the recording cannot be read.
    pub fn work(&mut self, most: u64) -> Result<bool, LinkError> {
        if std::mem::take(&mut self.back) {
            self.go_back()?;
        }
        for _ in 0..most {
            if self.is_there() {
                return Ok(true);
            }
            self.turn()?;
        }
        Ok(self.is_there())
    }

    /// Whether it has reached its destination.
    pub fn is_there(&mut self) -> bool {
        let there = match self.goal {
            Goal::Round(round) => self.place.seen.mark.rounds >= round,
            Goal::Time(at) => self.link.next_at().is_some_and(|next| next > at),
        };
        !self.back && (there || self.place.over)
    }

    /// Lets time pass: moves on if it is playing and not behind. Returns whether the display changes.
    pub fn pass(&mut self, time: Span) -> bool {
        let passes = self.playing && self.is_there();
        if passes {
            self.playing = !self.place.over;
            self.goal = Goal::Time(self.at().after(time.scaled(self.speed)));
        }
        passes
    }

    /// Plays, or stops; at the end it begins from the beginning.
    pub fn play(&mut self) {
        self.playing = !self.playing;
        if self.playing && self.place.over {
            self.seek(Goal::Time(Timestamp::from_nanos(i64::MIN)));
        }
    }

    /// Goes to a round or a moment, and goes on from there if it is playing.
    pub fn seek(&mut self, goal: Goal) {
        let began = self.place.seen.began.unwrap_or_default();
        self.goal = match goal {
            Goal::Round(round) => Goal::Round(round.max(1)),
            Goal::Time(at) => Goal::Time(at.max(began)),
        };
        self.back = self.place.seen.mark.is_beyond(self.goal);
    }

    /// Moves forward or back by a number of rounds, and pauses there. A round that is shown in part is completed first.
    pub fn step(&mut self, rounds: i64) {
        self.playing = false;
        let from = match (self.goal, self.is_there()) {
            // The steps before have not been made yet.
            (Goal::Round(round), false) if round < u64::MAX => round,
            _ if rounds > 0 => self.place.seen.mark.rounds,
            _ => self.place.seen.round(),
        };
        let mark = self.place.seen.mark;
        let to = from.saturating_add_signed(rounds);
        // Of rounds that are missing there is nothing to stop at.
        let back = rounds < 0 && from == mark.rounds;
        self.seek(Goal::Round(if back { to.min(mark.before) } else { to }));
    }

    /// Plays this many times as fast as it was recorded.
    pub fn set_speed(&mut self, speed: f64) {
        self.speed = speed;
    }

    /// Forgets what was seen up to here: the numbers begin anew, until a moment before this one is shown.
    pub fn forget(&mut self) {
        let here = self.place.seen.mark;
        self.copies.cut(here);
        self.place.seen.model.reset();
        self.forgotten = Some(here);
    }

    /// What to draw.
    #[must_use]
    pub fn target(&self) -> Target {
        self.place.seen.model.target()
    }

    /// What the rounds that are over showed.
    #[must_use]
    pub fn table(&self) -> &Table {
        self.place.seen.model.table()
    }

    /// Where in the recording it is.
    pub fn playback(&mut self) -> Playback {
        let (seeking, at) = (!self.is_there() && !self.playing, self.at());
        let (Self { playing, speed, end, .. }, seen) = (&*self, &self.place.seen);
        Playback {
            playing: *playing,
            speed: *speed,
            seeking,
            at,
            round: seen.round(),
            began: seen.began.unwrap_or(at),
            end: *end,
        }
    }

    /// Why the file ended before its last packet was whole, if that is known by now.
    #[must_use]
    pub fn ended_by(&self) -> Option<&CaptureError> {
        self.link.ended_by()
    }

    /// How many ICMP errors so far were cut too short by the capture to say about which probe they are.
    #[must_use]
    pub fn cut_short(&self) -> u64 {
        self.place.seen.cut_short
    }

    /// Takes in what has been looked up. Says whether anything was awaited.
    pub fn look_up(&mut self) -> bool {
        let awaited = self.annotations.next_deadline().is_some();
        if awaited {
            self.annotations.poll();
            let view = View::of(&self.config, self.place.engine.path(), &self.annotations);
            self.place.seen.model.event(None, view);
        }
        awaited
    }

    /// The moment that is shown.
    fn at(&mut self) -> Timestamp {
        let (goal, latest) = (self.goal, self.place.seen.mark.at);
        match goal {
            // Nothing happens between frames, but time passes.
            Goal::Time(at) if !self.place.over && self.is_there() => at.max(latest),
            _ => latest,
        }
    }

    /// Takes in the next thing that the file says.
    fn turn(&mut self) -> Result<(), LinkError> {
        let Place { engine, seen, over } = &mut self.place;
        let mut onlooker =
            Onlooker { seen, annotations: &mut self.annotations, config: &self.config };
        let before = onlooker.seen.mark.rounds;
        let mut driver = Driver::default();
        let mut endpoint = Endpoint::of_one(&mut **engine);
        *over = !driver.step(&mut endpoint, &mut self.link, &mut onlooker)?;
        drop(endpoint);
        seen.cut_short += driver.cut_short();
        seen.mark.read += 1;
        seen.mark.just_ended = seen.mark.rounds > before;
        if *over {
            self.end = Some((seen.mark.at, seen.mark.rounds));
        } else if self.forgotten.is_some_and(|mark| mark.read == seen.mark.read) {
            seen.model.reset();
        }
        self.copies.note(&self.place);
        Ok(())
    }

    /// Restores the last copy that is not beyond the destination.
    fn go_back(&mut self) -> Result<(), LinkError> {
        if let Some(mark) = self.forgotten.filter(|mark| mark.is_beyond(self.goal)) {
            self.copies.cut(mark);
            self.forgotten = None;
        }
        let fits = |copy: &&Place| !copy.seen.mark.is_beyond(self.goal);
        let fitting = self.copies.all.iter().rfind(fits);
        if let Some(copy) = fitting.or(self.copies.all.first()) {
            self.place = copy.clone();
        }
        self.link = ReplayLink::new((self.open)()?);
        for _ in 0..self.place.seen.mark.read {
            self.link.receive(None)?;
        }
        Ok(())
    }
}

/// Where in a recording something is.
#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    /// Things that the file had said by then.
    read: u64,
    /// When the last frame of the trace was captured.
    at: Timestamp,
    /// The number of the last round that was over, from 1; those that are missing have numbers as well.
    rounds: u64,
    /// That of the one before.
    before: u64,
    /// The last of them ended with the last thing that was read.
    just_ended: bool,
}

impl Mark {
    /// Whether that is beyond the destination.
    fn is_beyond(&self, goal: Goal) -> bool {
        match goal {
            Goal::Round(round) => self.rounds > round || self.rounds == round && !self.just_ended,
            Goal::Time(at) => self.at > at,
        }
    }
}

/// The state at a place in a recording.
#[derive(Clone)]
struct Place {
    engine: Box<dyn Watching>,
    seen: Seen,
    /// It is the end.
    over: bool,
}

/// What has been seen.
#[derive(Clone)]
struct Seen {
    mark: Mark,
    /// When the first frame of the trace was captured.
    began: Option<Timestamp>,
    /// The first round of the recording by its own number, and the last of which anything was captured, from 1.
    first: Option<u64>,
    latest: u64,
    /// ICMP errors that were cut too short to say about which probe they are.
    cut_short: u64,
    model: Model,
}

impl Seen {
    /// The shown round, from 1: the running one once something is known of it.
    fn round(&self) -> u64 {
        if self.model.is_running() { self.latest } else { self.mark.rounds }
    }
}

/// An engine that only watches, and of which a copy can be kept.
trait Watching: Engine {
    fn copy(&self) -> Box<dyn Watching>;
}

impl<E: Engine + Clone + 'static> Watching for E {
    fn copy(&self) -> Box<dyn Watching> {
        Box::new(self.clone())
    }
}

impl Clone for Box<dyn Watching> {
    fn clone(&self) -> Self {
        (**self).copy()
    }
}

/// Places on the way, in their order; the first is the beginning.
struct Copies {
    all: Vec<Place>,
    spacing: u64,
}

impl Copies {
    /// Forgets those after a place, but not the beginning.
    fn cut(&mut self, here: Mark) {
        self.all.retain(|copy| copy.seen.mark.read < here.read.max(1));
    }

    /// Keeps a copy of this place, if it is time for one.
    fn note(&mut self, place: &Place) {
        let read = place.seen.mark.read;
        let new = self.all.last().is_none_or(|last| last.seen.mark.read < read);
        if place.over || !new || !read.is_multiple_of(self.spacing) {
            return;
        }
        self.all.push(place.clone());
        if self.all.len() > COPIES {
            self.spacing *= 2;
            let spacing = self.spacing;
            self.all.retain(|copy| copy.seen.mark.read.is_multiple_of(spacing));
        }
    }
}

/// The observer of a recording that is played.
struct Onlooker<'a> {
    seen: &'a mut Seen,
    annotations: &'a mut Annotations,
    config: &'a TraceConfig,
}

impl Observer for Onlooker<'_> {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        if disposition.concerns_the_trace() {
            self.seen.began.get_or_insert(frame.at);
            self.seen.mark.at = frame.at;
            self.seen.model.frame(frame, disposition, path);
        }
    }

    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        if let Event::Replied(at, index) | Event::LateReply(at, index) = event
            && let Some(reply) = path.probe(at).and_then(|probe| probe.replies.get(index))
        {
            self.annotations.request(reply.responder);
        }
        let Seen { mark, first, latest, .. } = &mut *self.seen;
        let number = path
            .round_number()
            .saturating_sub(*first.get_or_insert(path.round_number()))
            .saturating_add(1);
        *latest = (*latest).max(number);
        if event == Event::Ended {
            mark.before =
                std::mem::replace(&mut mark.rounds, number.saturating_add(path.missed_after()));
        }
        self.seen.model.event(Some(event), View::of(self.config, path, self.annotations));
    }
}
