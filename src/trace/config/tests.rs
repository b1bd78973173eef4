//! Which configurations are refused, and why.

use super::*;

fn config() -> TraceConfig {
    TraceConfig::new([192, 0, 2, 2].into(), [203, 0, 113, 9].into(), 40_000)
}

type Change = fn(&mut TraceConfig);

#[test]
fn a_wrong_value_names_itself_and_the_range() {
    assert_eq!(config().check(), Ok(()));
    let wrong: [(Change, &str); 8] = [
        (|c| c.first_ttl = 0, "first TTL must be 1 to 255"),
        (|c| c.max_ttl = 0, "max TTL must be the first TTL to 255"),
        (|c| c.queries = 0, "number of queries per hop must be 1 to 1000"),
        (|c| c.packet_len = 27, "packet length must be long enough for its headers"),
        (
            |c| c.source = "2001:db8::1".parse().unwrap(),
            "source address must be of the target's family",
        ),
        (|c| c.wait.max = f64::NAN, "wait must be above 0, to 86400 s"),
        (|c| c.wait.near = -1.0, "each wait factor must be 0 to 1000"),
        (|c| c.in_flight = 0, "number of probes in flight must be 1 to 65535"),
    ];
    for (change, message) in wrong {
        let mut config = config();
        change(&mut config);
        assert_eq!(config.check().unwrap_err().to_string(), message);
    }
}

#[test]
fn the_serialised_form_comes_back() {
    let json = serde_json::to_string(&config()).unwrap();
    assert_eq!(serde_json::from_str::<TraceConfig>(&json).unwrap(), config());
}

#[test]
fn waiting_follows_traceroute() {
    let probe = Probe::sent_at(Timestamp::from_nanos(0));
    let ms = |n| Some(Span::from_millis(n));
    let wait = Wait::default();
    for (wait, here, near, expected) in [
        (wait, None, None, 5_000),
        (wait, ms(9), None, 30),
        (wait, ms(9), ms(1), 30),
        (wait, None, ms(9), 100),
        (wait, None, ms(900), 5_000),
        (Wait { here: 0.0, ..wait }, ms(9), ms(19), 200),
        (Wait { here: 0.0, near: 0.0, max: 2.5, ..wait }, ms(9), ms(19), 2_500),
    ] {
        let deadline = wait.deadline(&probe, here, near, None);
        assert_eq!(deadline, Timestamp::from_nanos(expected * 1_000_000), "{wait:?} {here:?}");
    }
}

#[test]
fn where_nothing_was_asked_for_max_adapts() {
    let probe = Probe::sent_at(Timestamp::from_nanos(0));
    let exact = Wait { adaptive: false, ..Wait::default() };
    for (wait, largest, expected) in [
        (Wait::default(), 3, 1_000),
        (Wait::default(), 250, 2_500),
        (Wait::default(), 900, 5_000),
        (Wait { max: 0.5, ..Wait::default() }, 3, 500),
        (exact, 3, 5_000),
    ] {
        let largest = Some(Span::from_millis(largest));
        let deadline = wait.deadline(&probe, None, None, largest);
        assert_eq!(deadline, Timestamp::from_nanos(expected * 1_000_000), "{wait:?}");
    }
}
