//! What lost probes are said to mean: a sample of `benches/loss`, and replies that are damaged on their way.

#[path = "../../benches/loss/cases.rs"]
mod cases;

use cases::Case;
use rtrace::driver::Observer;
use rtrace::metrics::{Meter, Metrics};
use rtrace::probe::ProbeType;
use rtrace::trace::verdict::Loss;
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
}

#[test]
fn loss_of_the_path_is_found() {
    for number in [0, 1, 2] {
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
        assert!((0.8..1.2).contains(&limit.per_second), "{limit:?}");
    }
    assert!(outcome.turns.iter().all(|turn| turn.loss != Loss::Path), "{:?}", outcome.turns);
}

/// Counts for Prometheus.
struct Counting(Meter);

impl Observer for Counting {
    fn event(&mut self, event: Event, path: &Path) {
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
        let label = format!("hop=\"{hop}\",loss=\"{loss}\"}} 1");
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
    assert!(lines[0].ends_with(",Loss,Damaged,") && lines[2].ends_with(",none,6"), "{csv}");
    let stream = run(&["watch", &simulate, "--rounds", "6", "--format", "ndjson", "203.0.113.9"]);
    let lines: Vec<serde_json::Value> =
        stream.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let round = lines.iter().find(|line| line["event"] == "round").unwrap();
    assert_eq!(round["hops"][1]["damaged"], 1);
    assert_eq!(lines.last().unwrap()["hops"][1]["damaged"], 6);
    assert_eq!(lines.last().unwrap()["hops"][1]["lost"], 0);
    assert!(lines.iter().all(|line| !line["event"].as_str().unwrap().starts_with("loss-")));
}
