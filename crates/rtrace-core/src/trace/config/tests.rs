//! Which configurations are refused, and why.

use super::super::measurement::Measurement;
use super::super::{paths, rounds};
use super::*;

fn config() -> TraceConfig {
    TraceConfig::new([192, 0, 2, 2].into(), [203, 0, 113, 9].into(), 40_000)
}

type Change = fn(&mut TraceConfig);

#[test]
fn a_wrong_value_names_itself_and_the_range() {
    assert_eq!(config().check(), Ok(()));
    let wrong: [(Change, &str); 9] = [
        (|c| c.first_ttl = 0, "first TTL must be 1 to 255"),
        (|c| c.max_ttl = 0, "max TTL 0 is below the first TTL 1"),
        (|c| c.queries = 0, "number of queries per hop must be 1 to 1000"),
        (
            |c| c.packet_len = 27,
            "packet length 27 is too short for this probe type: it must be at least 28",
        ),
        (
            |c| c.source = "2001:db8::1".parse().unwrap(),
            "source address must be of the target's family",
        ),
        (|c| c.wait.max = f64::NAN, "wait must be above 0, to 86400 s"),
        (|c| c.wait.near = Some(-1.0), "each wait factor must be above 0, to 1000"),
        (|c| c.wait.here = Some(0.0), "each wait factor must be above 0, to 1000"),
        (|c| c.in_flight = 0, "number of probes in flight must be 1 to 65535"),
    ];
    for (change, message) in wrong {
        let mut config = config();
        change(&mut config);
        assert_eq!(config.check().unwrap_err().to_string(), message);
    }
}

/// Whatever the command line refuses, a library is refused too, with the reason as a value.
#[test]
fn what_does_not_go_together_is_refused_by_the_measurement() {
    let rounds = rounds::Plan { interval: 1.0, rounds: None, until: None };
    let of_mtu = |c: &mut TraceConfig| c.mtu = true;
    let wrong: [(Measurement, Change, ConfigError); 11] = [
        (Measurement::Trace, of_mtu, ConfigError::MtuBeside),
        (Measurement::Rounds(rounds), of_mtu, ConfigError::MtuBeside),
        (Measurement::Paths(paths::Plan::default()), of_mtu, ConfigError::MtuBeside),
        (Measurement::PathMtu, |_| (), ConfigError::NoMtu),
        (
            Measurement::PathMtu,
            |c| {
                (c.mtu, c.probe) = (true, ProbeType::TcpSyn);
                c.packet_len = c.least_len();
            },
            ConfigError::MtuNeedsLengths,
        ),
        (
            Measurement::PathMtu,
            |c| (c.mtu, c.flow_mode) = (true, FlowMode::Dublin),
            ConfigError::MtuAndDublin,
        ),
        (
            Measurement::PathMtu,
            |c| (c.mtu, c.mtu_limit) = (true, Some(60)),
            ConfigError::MtuLimit { limit: 60, len: 60 },
        ),
        (
            Measurement::Trace,
            |c| (c.flow_mode, c.probe) = (FlowMode::Dublin, ProbeType::IcmpEcho),
            ConfigError::DublinIsOfUdp,
        ),
        (
            Measurement::Trace,
            |c| (c.probe, c.packet_len) = (ProbeType::TcpSyn, 1_000),
            ConfigError::NoPayload {
                len: craft::default_len(crate::wire::extension::Family::V4, ProbeType::TcpSyn),
            },
        ),
        (
            Measurement::Trace,
            |c| (c.first_ttl, c.max_ttl) = (20, 10),
            ConfigError::NoHops { first: 20, max: 10 },
        ),
        (
            Measurement::Rounds(rounds::Plan { interval: 0.0, ..rounds }),
            |_| (),
            ConfigError::OutOfRange { what: "interval", range: "0.01 to 86400 s" },
        ),
    ];
    for (measurement, change, expected) in wrong {
        let mut config = config();
        change(&mut config);
        assert_eq!(measurement.check(&config), Err(expected), "{measurement:?}");
        assert_eq!(measurement.active(config, 1_500).err(), Some(expected), "{measurement:?}");
    }
}

#[test]
fn the_serialised_form_comes_back() {
    let json = serde_json::to_string(&config()).unwrap();
    assert_eq!(serde_json::from_str::<TraceConfig>(&json).unwrap(), config());
}

#[test]
fn a_factor_that_is_off_is_written_as_0() {
    let wait = Wait { here: None, ..Wait::default() };
    let json = serde_json::to_string(&wait).unwrap();
    assert_eq!(json, r#"{"max":5.0,"here":0.0,"near":10.0,"adaptive":true}"#);
    assert_eq!(serde_json::from_str::<Wait>(&json).unwrap(), wait);
    let whole = json.replace("0.0,\"near", "0,\"near");
    assert_eq!(serde_json::from_str::<Wait>(&whole).unwrap(), wait);
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
        (Wait { here: None, ..wait }, ms(9), ms(19), 200),
        (Wait { here: None, near: None, max: 2.5, ..wait }, ms(9), ms(19), 2_500),
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
