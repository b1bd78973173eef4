//! Topology files: their meaning, and the messages for invalid ones.

use super::*;
use crate::link::sim::node::Unreachable;

#[test]
fn builtin_parses() {
    let topology = Topology::builtin();
    assert_eq!(topology.places.len(), 13, "source, target, ten hops less one, two more in ECMP");
    assert_eq!(topology.names().len(), 16);
    assert_eq!(topology.source(), Ipv4Addr::new(192, 0, 2, 2));
}

#[test]
fn the_example_in_the_documentation_parses() {
    let topology = Topology::parse(include_str!("../example.toml"), "example.toml").unwrap();
    let next: Vec<_> = topology.places.iter().map(|place| place.next.clone()).collect();
    let stage = vec![3, 4];
    assert_eq!(next, [vec![2], vec![], stage, vec![5], vec![5], vec![TARGET, 5]]);
}

#[test]
fn hops_share_with_their_routers_and_next_leads_elsewhere() {
    let text = r#"
        [[hop]]
        address = "10.0.0.1"
        balance = "packet"
        next = ["pair", "target"]
        [[hop]]
        name = "pair"
        delay = "0.25ms"
        unreachable = "admin"
        routers = [{ address = "10.0.0.2", name = "left", next = ["left"] },
                   { address = "10.0.0.3", delay = "3us", quote = "full" }]
        [target]
        address = "10.9.9.9"
    "#;
    let topology = Topology::parse(text, "t").unwrap();
    let next: Vec<_> = topology.places.iter().map(|place| place.next.clone()).collect();
    assert_eq!(next, [vec![2], vec![], vec![3, 4, TARGET], vec![3], vec![TARGET]]);
    let admin = Some(Unreachable { v4: 13, v6: 1 });
    let [left, right] = [&topology.places[3].node, &topology.places[4].node];
    assert_eq!((left.delay.nanos(), right.delay.nanos()), (250_000, 3_000));
    assert_eq!((left.unreachable, right.unreachable), (admin, admin));
    assert_eq!((left.quote, right.quote), (None, Some(usize::MAX)));
    assert_eq!(topology.target, Ipv4Addr::new(10, 9, 9, 9).into());
}

#[test]
fn errors_say_where_and_what_is_allowed() {
    for (text, wanted) in [
        ("seed = -1", "t.toml: line 1: "),
        ("\n\nsede = 7", "t.toml: line 3: unknown field `sede`, expected one of `seed`, "),
        ("[[hop]]\naddress = \"10.0.0\"", "t.toml: line 2: invalid IPv4 address syntax"),
        ("[[hop]]\ndely = \"1ms\"", "t.toml: line 2: unknown field `dely`, expected one of "),
        ("[[hop]]\nloss = 2", "t.toml: line 2: 2 is not a chance, write a number from 0 to 1"),
        ("[[hop]]\ndelay = \"3 days\"", "t.toml: line 2: \"3 days\" is not a time, write "),
        ("[[hop]]\ndelay = \"-1ms\"", "t.toml: line 2: \"-1ms\" is not a time, write "),
        ("[[hop]]\ndelay = 3", "t.toml: line 2: invalid type: integer `3`, expected a string"),
        ("[[hop]]\nquote = \"all\"", "t.toml: line 2: write a number of octets, or \"full\""),
        ("[[hop]]\nquote = []", "t.toml: line 2: a number or a word in quotes is wanted"),
        ("[[hop]]\n\nunreachable = 256", "t.toml: line 3: no such code, write a number up to"),
        ("[[hop]]\nmalformed = \"odd\"", "t.toml: line 2: unknown variant `odd`, expected one"),
        ("[[hop]]\nhold = { chance = 1 }", "t.toml: line 2: missing field `delay`"),
        ("[[hop]]\n", "t.toml: hop 1: needs either an `address` or `address6`, or `routers`"),
        ("[[hop]]\nrouters = [{}]", "t.toml: hop 1: each of its `routers` needs an `address`"),
        (
            "[[hop]]\naddress = \"10.0.0.1\"\nnext = [\"far\"]",
            "t.toml: hop 1: `next` says \"far\", which is the `name` of no hop; there are target",
        ),
        (
            "[[hop]]\nrate = { per_second = 0, burst = 1 }",
            "t.toml: hop 1: `rate` needs a `per_second` above 0",
        ),
        ("[target]\nmtu = 5", "t.toml: [target]: `mtu` is for hops, the target has none"),
        ("[target]\nadvice = 'source-quench'", "t.toml: [target]: `advice` is for hops"),
        ("[[hop]]\nadvice = 'go away'", "t.toml: line 2: unknown variant `go away`, expected one"),
        ("[[hop]]\naddress6 = \"10.0.0.1\"", "t.toml: line 2: invalid IPv6 address syntax"),
        ("[[hop]]\nmpls = [{ label = 1048576 }]", "t.toml: line 2: a `label` is at most 1048575"),
        ("[[hop]]\nmpls = [{ label = 3, tc = 8 }]", "t.toml: line 2: a `label` is at most"),
        ("[[hop]]\nmpls = [{ ttl = 3 }]", "t.toml: line 2: missing field `label`"),
        (
            "[[hop]]\ninterface = { role = 'x' }",
            "t.toml: line 2: unknown variant `x`, expected one",
        ),
        (
            "[[hop]]\nobject = { class = 1, c_type = 1, hex = 'abc' }",
            "t.toml: line 2: \"abc\" is not hexadecimal, write two digits for each octet",
        ),
        ("[[hop]]\nextension = 'new'", "t.toml: line 2: unknown variant `new`, expected `rfc4884`"),
        ("[[hop]]\nports = 80", "t.toml: line 2: write \"open\", \"closed\", or a list of open"),
        ("[[hop]]\nports = 'ajar'", "t.toml: line 2: write \"open\", \"closed\", or a list of"),
        ("[names]\nme = \"x\"", "t.toml: line 2: invalid IP address syntax"),
        ("seed", "t.toml: line 1: "),
    ] {
        let error = Topology::parse(text, "t.toml").unwrap_err().to_string();
        assert!(error.starts_with(wanted), "{text:?}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}
