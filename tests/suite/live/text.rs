//! What a traceroute's text says, without its round-trip times: enough to compare two programs.

/// A hop: for each probe "*" or the responder, with its annotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hop {
    pub ttl: u32,
    pub probes: Vec<String>,
}

impl Hop {
    /// How many of its probes were answered.
    pub fn answered(&self) -> usize {
        self.probes.iter().filter(|probe| *probe != "*").count()
    }

    /// Its responders, each once, in order of first appearance.
    pub fn responders(&self) -> Vec<&str> {
        let mut responders = Vec::new();
        for responder in self.probes.iter().filter_map(|probe| probe.split(' ').next()) {
            if responder != "*" && !responders.contains(&responder) {
                responders.push(responder);
            }
        }
        responders
    }
}

/// The hops of a report made with `-n`.
pub fn hops(report: &str) -> Vec<Hop> {
    report.lines().skip(1).filter_map(hop).collect()
}

fn hop(line: &str) -> Option<Hop> {
    let mut words = line.split_whitespace();
    let ttl = words.next()?.parse().ok()?;
    let (mut probes, mut responder) = (Vec::<String>::new(), "?");
    while let Some(word) = words.next() {
        if word == "*" || word == "-" {
            probes.push("*".to_owned());
        } else if let (Some(last), true) = (probes.last_mut(), word.starts_with('!')) {
            *last = format!("{last} {word}");
        } else if word.starts_with('<') {
            // TCP flags, which traceroute does not show unasked.
        } else if word.matches('.').count() == 3 || word.contains(':') {
            responder = word;
        } else {
            assert!(word.parse::<f64>().is_ok(), "{word:?} is no round-trip time in {line:?}");
            assert_eq!(words.next(), Some("ms"), "a round-trip time has its unit in {line:?}");
            probes.push(responder.to_owned());
        }
    }
    Some(Hop { ttl, probes })
}

#[test]
fn hops_are_read_from_text() {
    let report = "traceroute to 203.0.113.9 (203.0.113.9), 30 hops max, 60 byte packets\n \
                  1  10.99.3.2  0.096 ms 10.99.2.2  0.024 ms  0.016 ms\n \
                  2  * * *\n \
                  3  10.99.4.2  0.027 ms !X *  0.021 ms !X\n";
    let read: Vec<_> = hops(report).into_iter().map(|hop| (hop.ttl, hop.probes)).collect();
    let expected = [
        (1, vec!["10.99.3.2", "10.99.2.2", "10.99.2.2"]),
        (2, vec!["*", "*", "*"]),
        (3, vec!["10.99.4.2 !X", "*", "10.99.4.2 !X"]),
    ];
    assert_eq!(read.len(), expected.len());
    for (read, expected) in read.into_iter().zip(expected) {
        assert_eq!(read, (expected.0, expected.1.into_iter().map(String::from).collect()));
    }
}
