//! The player of recordings: what it shows at a moment is what was to be seen live at that moment, however it got
//! there.

use std::io::Cursor;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use rtrace::capture::{CaptureReader, Format, Interface, Recording};
use rtrace::driver::{self, Observer};
use rtrace::enrich::names::Names;
use rtrace::link::Link;
use rtrace::link::sim::{START, SimLink, Topology};
use rtrace::player::Player;
use rtrace::render::tui::moment::Goal;
use rtrace::render::tui::state::Pane;
use rtrace::render::tui::{Snapshot, Tab, Target};
use rtrace::time::{Span, Timestamp};
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::rounds::{Plan, Rounds};
use rtrace::trace::{Disposition, Event, Path, ProbeSelector, TraceConfig, Tracer};
use rtrace::wire::{Frame, LinkType};

use crate::golden_law::Shared;
use crate::lossy::{Fate, Lossy};
use crate::rounds::Broken;
use crate::screen::{Feed, LARGE, SMALL, buffer, busy, check, config, state, text};

/// A watch that was looked at while it went on.
struct Watched {
    topology: Topology,
    config: TraceConfig,
    plan: Plan,
    recording: Arc<[u8]>,
    /// What was to be seen when each of its rounds had ended.
    rounds: Vec<Target>,
}

/// Feeds a screen and a recording.
struct Live {
    feed: Feed,
    tape: Recording<Shared>,
    rounds: Vec<Target>,
}

impl Observer for Live {
    fn frame(&mut self, _: TraceId, frame: &Frame<'_>, disposition: Disposition, path: &Path) {
        self.feed.frame(TraceId::FIRST, frame, disposition, path);
        if disposition.concerns_the_trace() {
            self.tape.frame(frame, None).unwrap();
        }
    }

    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        self.feed.event(TraceId::FIRST, event, path);
        if event == Event::Ended {
            self.rounds.push(self.feed.model.target());
        }
    }
}

fn watch(topology: Topology, rounds: u64) -> Watched {
    watch_over(&mut SimLink::new(topology.clone()), topology, rounds)
}

fn watch_over(link: &mut dyn Link, topology: Topology, rounds: u64) -> Watched {
    let config = config(&topology, 2);
    let plan = Plan { interval: 1.0, rounds: Some(rounds), until: None };
    let bytes = Shared::default();
    let interface = Interface { name: "simulated".into(), address: None, link: LinkType::Raw };
    let tape = Recording::new(bytes.clone(), "memory", Format::PcapNg, &interface, "").unwrap();
    let feed = Feed::new(&topology, &config, plan, usize::MAX);
    let mut live = Live { feed, tape, rounds: Vec::new() };
    let mut engine = Rounds::new(config.clone(), plan).unwrap();
    driver::run(&mut engine, link, &mut live).unwrap();
    let recording = bytes.0.borrow().clone().into();
    Watched { topology, config, plan, recording, rounds: live.rounds }
}

/// Rounds with a bit of everything, among it replies that come after their round has ended.
static BUSY: LazyLock<Watched> = LazyLock::new(|| watch(busy(), 40));

type Bytes = Cursor<Arc<[u8]>>;

impl Watched {
    fn open(
        &self,
    ) -> impl Fn() -> Result<CaptureReader<Bytes>, rtrace::capture::CaptureError> + 'static {
        let recording = Arc::clone(&self.recording);
        move || CaptureReader::new(Cursor::new(Arc::clone(&recording)), "memory")
    }

    fn names(&self) -> Names {
        Names::fixed(self.topology.names().clone())
    }

    /// A player that keeps many copies and soon too many.
    fn player(&self) -> Player<Bytes> {
        let rounds = Rounds::passive(self.config.clone(), self.plan).unwrap();
        let interval = Some(self.plan.interval);
        Player::new(self.open(), self.config.clone(), rounds, interval, self.names())
            .unwrap()
            .spaced(8)
    }

    fn began(&self) -> Timestamp {
        self.rounds[0].times[0]
    }
}

/// Works until it is where it is to be.
fn arrive<R: std::io::Read>(player: &mut Player<R>) {
    while !player.work(7).unwrap() {}
}

fn at<R: std::io::Read>(player: &mut Player<R>, goal: Goal) -> Target {
    player.seek(goal);
    arrive(player);
    player.target()
}

/// All that is on the screen. That the watch is over is not: a recording is never over.
fn screen(target: &Target) -> String {
    let tabs = vec![Tab { name: "target.example".into(), loss: None }];
    let target = Target { over: false, ..target.clone() };
    let seen = Snapshot { tabs, target, playback: None, message: None };
    let panes =
        [None, Some(Pane::Detail), Some(Pane::Chart), Some(Pane::Packets), Some(Pane::Changes)];
    let screens = panes.map(|pane| {
        (0..3)
            .map(|hop| {
                let state =
                    state(|it| (it.pane, it.selected, it.extensions) = (pane, 2 * hop, true));
                text(&buffer(LARGE, &seen, &state))
            })
            .collect::<String>()
    });
    screens.concat()
}

/// All that is known, whether it is on the screen or not.
fn all(target: &Target) -> String {
    format!("{:?}", Target { over: false, ..target.clone() })
}

#[test]
fn the_end_is_what_the_live_watch_ended_with() {
    // Probes of this host that are lost, late or seen twice, so that rounds begin with any of theirs, or are missing.
    let fates = "-1-2--11--34-1-1111111111111---5--2-4--1----".chars().map(|fate| match fate {
        '1' => Fate::Dropped,
        '2' => Fate::Refused,
        '3' => Fate::Unseen,
        '4' => Fate::HeldUp(1_200_000),
        '5' => Fate::Twice(900_000),
        _ => Fate::Leaves,
    });
    let mut lossy = Lossy::new(busy(), &fates.collect::<Vec<_>>());
    let lossy = watch_over(&mut lossy, busy(), 25);
    for watched in [&*BUSY, &watch(Topology::builtin(), 25), &lossy] {
        let mut player = watched.player();
        arrive(&mut player);
        let live = watched.rounds.last().unwrap();
        assert_eq!(screen(&player.target()), screen(live));
        assert_eq!(all(&player.target()), all(live));
        let playback = player.playback();
        assert_eq!(playback.round, watched.plan.rounds.unwrap());
        assert_eq!(playback.end.map(|(_, rounds)| rounds), watched.plan.rounds);
        assert_eq!(
            (playback.began, playback.playing, playback.seeking),
            (watched.began(), false, false)
        );
    }
}

#[test]
fn each_round_is_as_it_was_to_be_seen_live() {
    let mut player = BUSY.player();
    for round in [40, 1, 2, 39, 20, 19, 18, 21, 40, 1] {
        let target = at(&mut player, Goal::Round(round));
        let live = &BUSY.rounds[usize::try_from(round).unwrap() - 1];
        assert_eq!(screen(&target), screen(live), "round {round}");
        assert_eq!(all(&target), all(live), "round {round}");
        assert_eq!(player.playback().round, round);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A moment looks the same however it was come to.
    #[test]
    fn the_way_to_a_moment_does_not_matter(
        goals in prop::collection::vec((any::<bool>(), 0_i64..45_000), 1..6),
        pieces in 1_u64..200,
    ) {
        let goal = |(round, at): (bool, i64)| if round {
            Goal::Round(at.unsigned_abs() / 1_000)
        } else {
            Goal::Time(BUSY.began().after(Span::from_millis(at)))
        };
        let mut player = BUSY.player();
        for it in &goals {
            player.seek(goal(*it));
            // It may be called away before it is there.
            player.work(pieces).unwrap();
        }
        arrive(&mut player);
        let mut fresh = BUSY.player();
        let direct = at(&mut fresh, goal(*goals.last().unwrap()));
        prop_assert_eq!(all(&player.target()), all(&direct));
        prop_assert_eq!(player.playback().at, fresh.playback().at);
    }
}

#[test]
fn steps_are_rounds() {
    let mut player = BUSY.player();
    arrive(&mut player);
    let half = Goal::Time(BUSY.began().after(Span::from_millis(10_500)));
    // Where it is, the step, and the round that is shown then: one that is shown in part is made whole, or left.
    for (from, step, round) in [
        (Goal::Round(40), 1, 40),
        (Goal::Round(40), -1, 39),
        (Goal::Round(7), 1, 8),
        (Goal::Round(7), -60, 1),
        (Goal::Round(7), 60, 40),
        (half, 1, 11),
        (half, -1, 10),
    ] {
        at(&mut player, from);
        player.step(step);
        arrive(&mut player);
        assert_eq!(player.playback().round, round, "{from:?} and {step}");
        let live = &BUSY.rounds[usize::try_from(round).unwrap() - 1];
        assert_eq!(all(&player.target()), all(live), "{from:?} and {step}");
    }
    // Keys that come faster than they can be followed add up.
    at(&mut player, Goal::Round(30));
    (0..5).for_each(|_| player.step(-1));
    arrive(&mut player);
    assert_eq!(player.playback().round, 25);
}

#[test]
fn time_passes_as_fast_as_it_is_told_to_while_it_plays() {
    let mut player = BUSY.player();
    let second = Span::from_millis(1_000);
    arrive(&mut player);
    assert!(!player.pass(second), "it is stopped at the end");
    player.play();
    arrive(&mut player);
    assert_eq!((player.playback().at, player.playback().round), (BUSY.began(), 0));
    let mut expected = BUSY.began();
    for speed in [1.0, 0.5, 10.0, 1.0] {
        player.set_speed(speed);
        assert!(player.pass(second));
        arrive(&mut player);
        expected = expected.after(second.scaled(speed));
        assert_eq!(player.playback().at, expected);
    }
    let there = all(&player.target());
    assert_eq!(there, all(&at(&mut BUSY.player(), Goal::Time(expected))));
    player.play();
    assert!(!player.pass(second) && !player.playback().playing, "it is stopped");
    player.play();
    player.set_speed(1000.0);
    player.pass(second);
    arrive(&mut player);
    player.pass(second);
    assert!(!player.playback().playing, "it stops at the end");
    assert_eq!(all(&player.target()), all(BUSY.rounds.last().unwrap()));
}

#[test]
fn what_was_forgotten_is_back_before_that_moment() {
    let mut player = BUSY.player();
    arrive(&mut player);
    let sent = |target: &Target| target.table.rows()[0].sent;
    at(&mut player, Goal::Round(20));
    player.forget();
    assert!(player.target().table.rows().is_empty());
    let of_ten = at(&mut player, Goal::Round(30));
    assert_eq!((sent(&of_ten), player.playback().round), (20, 30));
    let of_all = at(&mut player, Goal::Round(40));
    assert_eq!(sent(&of_all), 40);
    assert_eq!(all(&at(&mut player, Goal::Round(30))), all(&of_ten));
    assert_eq!(all(&at(&mut player, Goal::Round(19))), all(&BUSY.rounds[18]));
    assert_eq!(all(&at(&mut player, Goal::Round(40))), all(&BUSY.rounds[39]));
    at(&mut player, Goal::Time(BUSY.began()));
    player.forget();
    assert_eq!(all(&at(&mut player, Goal::Round(1))), all(&BUSY.rounds[0]));
}

/// As captures of other tools are watched: one trace, which has no rounds.
#[test]
fn rounds_that_are_missing_have_numbers_and_are_passed_over() {
    let second = |second: i64| START.after(Span::from_millis(1_000 * second + 500));
    let (from, to) = (second(4), second(8));
    let mut link = Broken { inner: SimLink::new(busy()), from, to, refuses: true };
    let watched = watch_over(&mut link, busy(), 14);
    let missed = watched.rounds.last().unwrap().table.missed();
    assert!(missed >= 3, "{missed}");
    let mut player = watched.player();
    at(&mut player, Goal::Round(u64::MAX));
    assert_eq!((player.playback().round, player.table().missed()), (14, missed));
    let mut back = vec![14];
    while *back.last().unwrap() > 1 && back.len() < 20 {
        player.step(-1);
        arrive(&mut player);
        back.push(player.playback().round);
    }
    assert_eq!(back.len() as u64, 14 - missed, "{back:?}");
    assert!(back.is_sorted_by(|later, earlier| later > earlier) && back.ends_with(&[2, 1]));
    at(&mut player, Goal::Round(12));
    assert_eq!(player.playback().round, 12);
}

#[test]
fn a_single_trace_is_one_round() {
    let one = watch(busy(), 1);
    let tracer = Tracer::passive(one.config.clone(), ProbeSelector::One).unwrap();
    let mut player =
        Player::new(one.open(), one.config.clone(), tracer, None, one.names()).unwrap();
    arrive(&mut player);
    assert_eq!(player.playback().round, 1);
    let tabs = vec![Tab { name: "target.example".into(), loss: None }];
    let snapshot = |player: &mut Player<_>| {
        let (target, playback) = (player.target(), Some(player.playback()));
        Snapshot { tabs: tabs.clone(), target, playback, message: None }
    };
    check("recording-one-80x24", SMALL, &snapshot(&mut player), &state(|_| {}));
    player.seek(Goal::Time(one.began().after(Span::from_millis(5))));
    arrive(&mut player);
    check("recording-one-partly-80x24", SMALL, &snapshot(&mut player), &state(|_| {}));
}

#[test]
fn what_is_not_known_yet_is_not_shown() {
    let mut player = BUSY.player();
    player.work(300).unwrap();
    let tabs = vec![Tab { name: "target.example".into(), loss: None }];
    let (target, playback) = (player.target(), Some(player.playback()));
    let snapshot = Snapshot { tabs, target, playback, message: None };
    check("recording-reading-80x24", SMALL, &snapshot, &state(|_| {}));
}
