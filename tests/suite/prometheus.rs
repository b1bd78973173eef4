//! `--prometheus`: a real scrape over loopback, read by Prometheus's own Python client, against what the
//! stream of the same watch says; and clients that mean no good.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::Value;

use crate::live::lab::skip;
use crate::support::{line_of, path_in, rtrace, run, scratch};

const TARGET: &str = "203.0.113.9";

/// A simulated watch whose stream nobody has read yet: it goes on until the pipe is full, and waits there.
struct Watched {
    child: Child,
    stream: BufReader<ChildStdout>,
    address: SocketAddr,
}

impl Watched {
    fn of(topology: &str) -> Self {
        let simulate = format!("--simulate={topology}");
        let args =
            ["watch", &simulate, TARGET, "--format", "ndjson", "--prometheus", "127.0.0.1:0"];
        let mut child = rtrace()
            .args(args)
            .args(["--rounds", "1000000", "-n"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut said).unwrap();
        let (_, address) = said.trim_end().split_once("http://").expect(&said);
        let address = address.strip_suffix("/metrics").unwrap().parse().unwrap();
        let stream = BufReader::new(child.stdout.take().unwrap());
        Self { child, stream, address }
    }

    fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).unwrap()
    }

    /// The response to these bytes, after which nothing more is said.
    fn ask(&self, request: &[u8]) -> String {
        let mut stream = self.connect();
        // It may be answered, and closed, before it has been said in full.
        let _ = stream.write_all(request).and_then(|()| stream.shutdown(Shutdown::Write));
        let mut response = Vec::new();
        let _ = stream.read_to_end(&mut response);
        String::from_utf8(response).unwrap()
    }

    fn scrape(&self) -> String {
        let response = self.ask(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (head, body) = response.split_once("\r\n\r\n").expect(&response);
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        body.to_owned()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Samples by name, hop and address, as Prometheus's client for Python reads them.
type Samples = BTreeMap<(String, u64, String), f64>;

const READ: &str = "
import json, sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as families
rows = [[s.name, s.labels, s.value] for family in families(sys.stdin.read()) for s in family.samples]
print(json.dumps(rows))
";

fn read(text: &str) -> Option<Samples> {
    let has = Command::new("python3").args(["-c", "import prometheus_client"]).output();
    if !has.is_ok_and(|output| output.status.success()) {
        skip("needs Python's prometheus_client");
        return None;
    }
    let mut python = Command::new("python3")
        .args(["-c", READ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "not OpenMetrics: {text}");
    let rows: Vec<(String, BTreeMap<String, String>, f64)> =
        serde_json::from_slice(&output.stdout).unwrap();
    let mut samples = Samples::new();
    for (name, labels, value) in rows {
        assert_eq!(labels["target"], TARGET);
        let hop = labels.get("hop").map_or(0, |hop| hop.parse().unwrap());
        let extra = labels.get("le").or(labels.get("address")).cloned().unwrap_or_default();
        *samples.entry((name, hop, extra)).or_default() += value;
    }
    Some(samples)
}

/// What a stream says of its first so many rounds, in the form of the samples.
fn told(stream: &mut impl BufRead, rounds: u64) -> Samples {
    let mut samples = Samples::new();
    let mut add = |name: &str, hop: &Value, address: &str, value: f64| {
        let key = (name.to_owned(), hop.as_u64().unwrap(), address.to_owned());
        *samples.entry(key).or_default() += value;
    };
    let mut seen = 0;
    while seen < rounds {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["event"] == "changed" {
            add("rtrace_path_changes_total", &line["ttl"], "", 1.0);
        }
        if line["event"] != "round" {
            continue;
        }
        seen += 1;
        add("rtrace_rounds_total", &0.into(), "", 1.0);
        for hop in line["hops"].as_array().unwrap() {
            let count = |field: &str| hop[field].as_f64().unwrap();
            add("rtrace_probes_sent_total", &hop["ttl"], "", count("sent"));
            add("rtrace_probes_answered_total", &hop["ttl"], "", count("received"));
            add("rtrace_probes_lost", &hop["ttl"], "", count("sent") - count("received"));
            if let Some(rtt) = hop["rtt_ns"].as_f64() {
                let responder = hop["responder"].as_str().unwrap();
                add("rtrace_rtt_seconds_count", &hop["ttl"], responder, 1.0);
                add("rtrace_rtt_seconds_sum", &hop["ttl"], responder, rtt / 1e9);
            }
        }
    }
    samples
}

/// Reads the stream up to a line of this event.
fn read_up_to(event: &str, stream: &mut impl BufRead) {
    let (event, mut line) = (format!("\"event\":\"{event}\""), String::new());
    while !line.contains(&event) {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended without {event}");
    }
}

#[test]
fn a_target_that_answers_with_an_error_is_not_reached() {
    let dir = scratch();
    let topology = path_in(&dir, "rejecting.toml");
    std::fs::write(&topology, line_of(&["", ""], "500us", "unreachable = 4")).unwrap();
    let mut watched = Watched::of(topology.to_str().unwrap());
    read_up_to("unreached", &mut watched.stream);
    // What a round came to is counted before the next is over.
    read_up_to("round", &mut watched.stream);
    let text = watched.scrape();
    let value = |name: &str| -> Vec<&str> {
        text.lines().filter(|line| line.starts_with(&format!("{name}{{"))).collect()
    };
    let reached = format!("rtrace_target_reached{{target=\"{TARGET}\"}} 0");
    assert_eq!(value("rtrace_target_reached"), [reached]);
    let rejected = format!(
        "rtrace_target_rejected{{target=\"{TARGET}\",address=\"{TARGET}\",icmp_type=\"3\",icmp_code=\"4\"}} 1"
    );
    assert_eq!(value("rtrace_target_rejected"), [rejected]);
}

#[test]
fn a_scrape_has_the_numbers_of_the_stream() {
    let dir = scratch();
    let topology = path_in(&dir, "lossy.toml");
    let hops = ["", "loss = 0.3", "rate = { per_second = 0.5, burst = 2 }", "silent = true"];
    std::fs::write(&topology, line_of(&hops, "2ms", "")).unwrap();
    for topology in [topology.to_str().unwrap(), "built-in"] {
        let mut watched = Watched::of(topology);
        // That this line is there means that the first round is over.
        let mut line = String::new();
        while !line.contains("\"event\":\"round\"") {
            line.clear();
            watched.stream.read_line(&mut line).unwrap();
        }
        let Some(scraped) = read(&watched.scrape()) else { return };
        let value = |name: &str| scraped[&(name.to_owned(), 0, String::new())];
        assert!(
            (value("rtrace_target_reached") - 1.0).abs() < f64::EPSILON || topology != "built-in"
        );

        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let rounds = value("rtrace_rounds_total") as u64;
        assert!(rounds >= 1);
        let mut chained = line.as_bytes().chain(&mut watched.stream);
        let told = told(&mut chained, rounds);
        for (key, expected) in &told {
            let found = scraped.get(key).copied().unwrap_or_default();
            // A change is told after its round.
            let changes = key.0 == "rtrace_path_changes_total";
            let fits = if changes { found >= *expected } else { (found - expected).abs() < 1e-6 };
            assert!(fits, "{topology}: {key:?} is {found}, not {expected}");
        }
        let buckets = scraped.keys().filter(|(name, ..)| name == "rtrace_rtt_seconds_bucket");
        assert!(buckets.count() >= 17);
    }
}

#[test]
fn nobody_is_in_the_way_of_a_scrape() {
    let watched = Watched::of("built-in");
    // Some say nothing, some half of something, more of them than are let in at a time.
    let mut idle: Vec<TcpStream> = Vec::new();
    for number in 0..80 {
        let mut stream = watched.connect();
        if number % 2 == 0 {
            stream.write_all(b"GET /metrics HT").unwrap();
        }
        idle.push(stream);
    }
    assert!(watched.scrape().ends_with("# EOF\n"));
    let long = [b"GET /metrics HTTP/1.1\r\nCookie: ".as_slice(), &"x".repeat(20_000).into_bytes()]
        .concat();
    let header = b"GET /metrics?x=1 HTTP/1.0\r\nCookie: a\r\n\r\nand more that nobody asked for";
    for (request, status) in [
        (&b"GET /metrics HTTP/1.1\n\n"[..], "HTTP/1.1 200 OK"),
        (header, "HTTP/1.1 200 OK"),
        (b"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
        (b"GET /metricsx HTTP/1.1\r\n\r\n", "HTTP/1.1 404 Not Found"),
        (b"POST /metrics HTTP/1.1\r\n\r\n", "HTTP/1.1 405 Method Not Allowed"),
        (b"\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"\0\xff\xfe GET\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"GET /metrics SMTP\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (&long, "HTTP/1.1 431 Request Header Fields Too Large"),
    ] {
        let response = watched.ask(request);
        assert_eq!(
            response.lines().next(),
            Some(status),
            "{:?}",
            request.escape_ascii().to_string()
        );
    }
    let head = watched.ask(b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
    // One that goes without hearing the answer.
    for _ in 0..50 {
        let mut stream = watched.connect();
        stream.write_all(b"GET /metrics HTTP/1.1\r\n\r\n").unwrap();
    }
    assert!(watched.scrape().ends_with("# EOF\n"));
    drop(idle);
}

#[test]
fn an_address_that_is_taken_is_said_at_once() {
    let watched = Watched::of("built-in");
    let taken = watched.address.to_string();
    for (address, words) in
        [(taken.as_str(), "cannot serve metrics at 127.0.0.1"), ("9469", "as 127.0.0.1:9469")]
    {
        let failed =
            run(&["watch", "--simulate", TARGET, "--rounds", "1", "--prometheus", address]);
        assert_eq!((failed.status, failed.stdout.as_str()), (2, ""));
        assert!(failed.stderr.contains(words), "{}", failed.stderr);
        assert_eq!(failed.stderr.lines().count(), 1, "{}", failed.stderr);
    }
}
