//! What lost probes are said to mean: a sample of `benches/loss`, and replies that are damaged on their way.

#[path = "../../benches/loss/cases.rs"]
mod cases;

use cases::Case;
use rtrace::driver::Observer;
use rtrace::metrics::{Meter, Metrics};
use rtrace::probe::ProbeType;
use rtrace::trace::endpoint::TraceId;
use rtrace::trace::verdict::{Loss, Reason};
use rtrace::trace::{Event, Path};

use crate::support::{line_of, path_in, run, scratch};

#[test]
fn limits_are_not_loss_of_the_path() {
    for number in [1, 10, 100] {
        let case = Case::limit(number);
        let outcome = case.run();
        assert!(outcome.lost() > 0, "{case:?}");
        assert!(case.is_right(&outcome), "{case:?}: {:?}", outcome.verdicts());
    }
    for case in [1, 2, 3].map(Case::held_out) {
        let outcome = case.run();
        assert!(case.is_right(&outcome), "{case:?}: {:?}", outcome.verdicts());
    }
}

#[test]
fn loss_of_the_path_is_found() {
    // Beyond hops that lose nothing, few lose alike in the last of them.
    for number in [0, 1, 2, 25, 53, 75, 120, 181, 184, 185, 199] {
        let case = Case::path(number);
        let outcome = case.run();
        assert!(case.is_right(&outcome), "{case:?}: {:?}", outcome.verdicts());
    }
}

/// As it was found: nothing is lost, all routers limit as Linux does, and the target is silent.
#[test]
fn linux_limits_are_recognised_with_a_silent_target() {
    let limit = "rate = { per_second = 1, burst = 6 }";
    let case = Case {
        what: "Linux",
        topology: line_of(&[limit; 6], "500us", "silent = true"),
        probe: ProbeType::IcmpEcho,
        queries: 3,
        interval: 1.0,
        rounds: 20,
        lossy: None,
    };
    let outcome = case.run();
    let verdicts = outcome.verdicts();
    for verdict in &verdicts[..6] {
        assert_eq!(verdict.loss, Loss::RateLimited, "{verdicts:?}");
        let limit = verdict.limit.unwrap();
        let told = limit.per_second.is_some_and(|rate| (0.9..1.1).contains(&rate));
        assert!(told, "{limit:?}");
    }
    assert!(outcome.turns.iter().all(|turn| turn.loss != Loss::Path), "{:?}", outcome.turns);
}

/// The number is that of answers once those at once were given, whatever the pace; where answers do not show it, there is none.
#[test]
fn the_rate_of_a_limit_is_that_beyond_its_burst() {
    let (mut told, mut limits) = (0, 0);
    for (rate, burst) in [(1.0, 6), (2.0, 1), (5.0, 5)] {
        let limit = format!("rate = {{ per_second = {rate}, burst = {burst} }}");
        for (queries, interval, rounds) in [
            (1, 0.05, 20),
            (1, 0.1, 60),
            (3, 0.2, 60),
            (3, 1.0, 40),
            (10, 0.5, 30),
            (10, 1.0, 20),
            (10, 2.0, 20),
            (10, 3.0, 20),
            (10, 10.0, 20),
        ] {
            let case = Case {
                what: "rates",
                topology: line_of(&[&limit], "500us", "silent = true"),
                probe: ProbeType::Udp,
                queries,
                interval,
                rounds,
                lossy: None,
            };
            let outcome = case.run();
            for limit in outcome.verdicts().iter().filter_map(|verdict| verdict.limit) {
                limits += 1;
                let Some(found) = limit.per_second else { continue };
                told += 1;
                let ratio = found / rate;
                assert!((0.75..1.25).contains(&ratio), "{limit:?} of {case:?}");
            }
        }
    }
    assert!(limits > 9 && (6..limits).contains(&told), "{told} of {limits}");
}

/// Each allows one answer a second, and the second round comes a little earlier than that after the first.
#[test]
fn what_is_lost_in_one_round_alone_is_not_loss_of_the_path() {
    let limit = "rate = { per_second = 1, burst = 1 }";
    let case = Case {
        what: "one at once",
        topology: line_of(&[limit; 5], "2ms", ""),
        probe: ProbeType::Udp,
        queries: 1,
        interval: 1.0,
        rounds: 60,
        lossy: None,
    };
    let outcome = case.run();
    assert!(outcome.lost() > 1, "{:?}", outcome.verdicts());
    assert!(outcome.verdicts().iter().all(|it| it.loss != Loss::Path), "{:?}", outcome.verdicts());
}

/// Each answers a part of what it is asked, all the same part, for others ask as much of each: so does the first link look. A few
/// such routers are not taken for it, with one query a round; with more, probes that are lost together tell.
#[test]
fn routers_that_are_equally_busy_are_not_loss_on_the_first_link() {
    for (rate, burst, others) in [(50, 10, 65), (1_000, 50, 1_300), (100, 100, 110), (2, 1, 2)] {
        let limit = format!("rate = {{ per_second = {rate}, burst = {burst}, others = {others} }}");
        for (hops, queries) in [(2, 1), (3, 1), (3, 3), (6, 3), (12, 3)] {
            let hops = vec![limit.as_str(); hops];
            let case = Case {
                what: "equally busy",
                topology: line_of(&hops, "500us", "silent = true"),
                probe: ProbeType::Udp,
                queries,
                interval: 1.0,
                rounds: 60,
                lossy: None,
            };
            let outcome = case.run();
            let is_path = |loss: Loss| loss == Loss::Path;
            let verdicts = outcome.verdicts();
            assert!(!verdicts.iter().any(|it| is_path(it.loss)), "{case:?}: {verdicts:?}");
            assert!(!outcome.turns.iter().any(|turn| is_path(turn.loss)), "{:?}", outcome.turns);
        }
    }
    // Where probes of a round are lost each for itself, it is the link.
    let case = Case {
        what: "first link",
        topology: line_of(&["loss = 0.2", "", ""], "500us", "silent = true"),
        probe: ProbeType::Udp,
        queries: 3,
        interval: 1.0,
        rounds: 60,
        lossy: Some(1),
    };
    assert!(case.is_right(&case.run()));
}

/// Hosts limit the errors that they answer with, and others use that up; of other answers a target loses what the path does.
#[test]
fn loss_at_the_target_alone_is_of_the_path_unless_it_answers_with_errors() {
    for (probe, expected) in [
        (ProbeType::Udp, Loss::Unclear(Reason::TargetErrors)),
        (ProbeType::IcmpEcho, Loss::Path),
        (ProbeType::TcpSyn, Loss::Path),
    ] {
        let case = Case {
            what: "the last link",
            topology: line_of(&[""; 3], "500us", "loss = 0.2"),
            probe,
            queries: 1,
            interval: 1.0,
            rounds: 60,
            lossy: Some(4),
        };
        let outcome = case.run();
        assert_eq!(outcome.verdicts()[3].loss, expected, "{probe:?}");
    }
    // A hop before it shows the same.
    let case = Case {
        what: "the link before",
        topology: line_of(&["", "loss = 0.2", ""], "500us", ""),
        probe: ProbeType::Udp,
        queries: 3,
        interval: 1.0,
        rounds: 60,
        lossy: Some(2),
    };
    let losses: Vec<Loss> = case.run().verdicts().iter().map(|it| it.loss).collect();
    assert_eq!(losses, [Loss::None, Loss::Path, Loss::Path, Loss::Path]);
}

/// Whoever else takes the answers of a limit, it answers the first query of a round rather than the last.
#[test]
fn limits_that_others_use_up_are_not_loss_of_the_path() {
    let busy = |others: u32| {
        format!("rate = {{ per_second = 10, burst = 10, window = true, others = {others} }}")
    };
    let limits = [busy(5), busy(6), busy(6), busy(7)];
    let case = Case {
        what: "others",
        topology: line_of(&limits.each_ref().map(String::as_str), "500us", "silent = true"),
        probe: ProbeType::Udp,
        queries: 8,
        interval: 1.0,
        rounds: 80,
        lossy: None,
    };
    let outcome = case.run();
    assert!(outcome.lost() > 0 && outcome.path().is_empty(), "{:?}", outcome.verdicts());
}

/// In text, JSON, CSV and stream.
#[test]
fn every_form_says_why_loss_is_unclear() {
    let dir = scratch();
    let file = path_in(&dir, "last.toml");
    std::fs::write(&file, line_of(&["", "", "loss = 0.4"], "500us", "silent = true")).unwrap();
    let simulate = format!("--simulate={}", file.display());
    let said = |form: &str| {
        let args = ["--rounds", "20", "--format", form, "-m", "5", "203.0.113.9"];
        run(&[&["report", &simulate, "-n"], &args[..]].concat()).stdout
    };
    let text = said("text");
    let sentence = Reason::NothingBeyond.sentence();
    assert!(text.contains(&format!("unclear, at hop 3: {sentence}")), "{text}");
    let json: serde_json::Value = serde_json::from_str(&said("json")).unwrap();
    let hub = &json["report"]["hubs"][2];
    assert_eq!((&hub["loss"], &hub["reason"]), (&"unclear".into(), &"nothing-beyond".into()));
    assert!(json["report"]["hubs"][0]["reason"].is_null());
    assert!(said("csv").contains(",unclear,0,nothing-beyond"));
    let stream = said("ndjson");
    let lines: Vec<serde_json::Value> =
        stream.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let begins = lines.iter().find(|line| line["event"] == "loss-begins").unwrap();
    assert_eq!((&begins["loss"], &begins["reason"]), (&"unclear".into(), &"nothing-beyond".into()));
    assert_eq!(lines.last().unwrap()["hops"][2]["reason"], "nothing-beyond");
}

/// Counts for Prometheus.
struct Counting(Meter);

impl Observer for Counting {
    fn event(&mut self, _: TraceId, event: Event, path: &Path) {
        self.0.handle(event, path);
    }
}

/// What the loss of a hop means is a metric, one at a time; damaged replies are another.
#[test]
fn metrics_tell_the_verdict_and_the_damage() {
    let limit = "rate = { per_second = 1, burst = 6 }";
    let case = Case {
        what: "metrics",
        topology: line_of(&[limit, "malformed = \"bad-checksum\""], "500us", "loss = 0.3"),
        probe: ProbeType::IcmpEcho,
        queries: 3,
        interval: 1.0,
        rounds: 30,
        lossy: Some(3),
    };
    let metrics = Metrics::default();
    case.show(&mut Counting(metrics.meter(&case.config())));
    let text = metrics.text();
    let losses: Vec<&str> = text.lines().filter(|it| it.starts_with("rtrace_loss{")).collect();
    assert_eq!(losses.len(), 3, "{text}");
    for (hop, loss) in [(1, "rate-limited"), (2, "none"), (3, "path")] {
        let label = format!("hop=\"{hop}\",loss=\"{loss}\",reason=\"\"}} 1");
        assert!(losses.iter().any(|line| line.ends_with(&label)), "{losses:?}");
    }
    let damaged =
        text.lines().find(|it| it.starts_with("rtrace_probes_damaged") && it.contains("hop=\"2\""));
    assert!(damaged.unwrap().ends_with(" 90"), "{text}");
}

/// Each form shows damaged replies as such, and none of them as loss.
#[test]
fn damaged_replies_are_not_lost() {
    let dir = scratch();
    let file = path_in(&dir, "damaged.toml");
    std::fs::write(&file, line_of(&["", "malformed = \"bad-checksum\"", ""], "500us", "")).unwrap();
    let simulate = format!("--simulate={}", file.display());
    let reported = |form: &str| {
        let run =
            run(&["report", &simulate, "-n", "--rounds", "6", "--format", form, "203.0.113.9"]);
        assert_eq!(run.status, 0, "{}", run.stderr);
        run.stdout
    };
    let text = reported("text");
    assert!(text.contains("  2. damaged: 6 answered with a wrong checksum, not lost"), "{text}");
    let line = text.lines().find(|line| line.starts_with("  2.|--")).unwrap();
    assert!(line.contains(" ???  ") && line.contains("  0.0%     6 "), "{text}");
    let json: serde_json::Value = serde_json::from_str(&reported("json")).unwrap();
    let hub = &json["report"]["hubs"][1];
    assert_eq!(
        (&hub["damaged"], &hub["Drop"], &hub["loss"]),
        (&6.into(), &0.into(), &"none".into())
    );
    assert!(json["report"]["hubs"][0]["damaged"].is_null());
    let csv = reported("csv");
    let lines: Vec<&str> = csv.lines().collect();
    assert!(lines[0].ends_with(",Loss,Damaged,Reason,") && lines[2].ends_with(",none,6,"), "{csv}");
    let stream = run(&["watch", &simulate, "--rounds", "6", "--format", "ndjson", "203.0.113.9"]);
    let lines: Vec<serde_json::Value> =
        stream.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let round = lines.iter().find(|line| line["event"] == "round").unwrap();
    assert_eq!(round["hops"][1]["damaged"], 1);
    assert_eq!(lines.last().unwrap()["hops"][1]["damaged"], 6);
    assert_eq!(lines.last().unwrap()["hops"][1]["lost"], 0);
    assert!(lines.iter().all(|line| !line["event"].as_str().unwrap().starts_with("loss-")));
}
