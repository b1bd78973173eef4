//! A neighbour that sends us frames with our own source address: none of them is a probe of ours.

use nix::sched::setns;
use pnet_datalink::{Channel, DataLinkSender};

use super::every_probe::{CLOSED_PORT, TARGETS, craft, gist, with_a_neighbour_in};
use super::*;

/// Where an Ethernet frame has the addresses of its receiver and its sender, and how long it is before its content.
const TO: std::ops::Range<usize> = 0..6;
const FROM: std::ops::Range<usize> = 6..12;
const HEADER: usize = 14;

#[test]
fn what_comes_in_with_our_address_is_no_probe() {
    with_a_neighbour_in(|namespace| {
        for (target, zone) in TARGETS {
            let target: IpAddr = target.parse().unwrap();
            let echo = if target.is_ipv4() { ipv4::ICMP } else { ipv6::ICMPV6 };
            for protocol in [ipv4::UDP, ipv4::TCP, echo] {
                for any in [false, true] {
                    let config = LiveConfig { any, ..config(target, zone, None, protocol) };
                    reflect(&config, namespace);
                }
            }
        }
    });
}

/// Sends a probe, has the neighbour send it back in many ways and then an answer of its own, and expects the probe
/// and both answers, the second of them the last frame on the cable, and nothing in between.
fn reflect(config: &LiveConfig, namespace: &str) {
    let target = config.targets[0].address;
    let mut live = open_link(config).unwrap();
    let mut neighbour = on_the_far_end(namespace);
    let probe = craft(config, live.ident(0), CLOSED_PORT);
    live.send(&Transmit { destination: target, datagram: &probe }).unwrap();
    let (seen, answer) = (next(&mut live).0, next(&mut live).0);
    assert_eq!(seen, probe);

    let (ours, theirs) = (hardware("up0"), [2, 0, 0, 0, 0, 9]);
    let ethertype = if target.is_ipv4() { [0x08, 0] } else { [0x86, 0xdd] };
    let mut other = probe.clone();
    // Another number, so that it would be another probe.
    *other.last_mut().unwrap() ^= 0xff;
    let all = [0xff; 6];
    for (to, from, datagram) in [
        (ours, theirs, &probe),
        (ours, ours, &probe),
        (all, theirs, &probe),
        (theirs, ours, &probe),
        (ours, theirs, &other),
        (all, ours, &other),
        (ours, theirs, &answer),
    ] {
        let mut frame = vec![0; HEADER];
        frame[TO].copy_from_slice(&to);
        frame[FROM].copy_from_slice(&from);
        frame[HEADER - 2..].copy_from_slice(&ethertype);
        frame.extend(datagram);
        neighbour.send_to(&frame, None).unwrap().unwrap();
    }
    let last = next(&mut live).0;
    assert_eq!(gist(&last), gist(&answer), "{target} {:?}", config.probe);
    assert_eq!(last, answer);
    assert_eq!(live.statistics().unwrap().unwrap().received, 3, "nothing else passed the filter");
}

/// What sends frames by far0. A socket belongs to the namespace that it was made in.
fn on_the_far_end(namespace: &str) -> Box<dyn DataLinkSender> {
    let open = || {
        setns(std::fs::File::open(namespace).unwrap(), CloneFlags::CLONE_NEWNET).unwrap();
        let all = pnet_datalink::interfaces();
        let far = all.into_iter().find(|interface| interface.name == "far0").unwrap();
        match pnet_datalink::channel(&far, pnet_datalink::Config::default()).unwrap() {
            Channel::Ethernet(sender, _) => sender,
            _ => panic!("far0 is Ethernet"),
        }
    };
    thread::scope(|scope| scope.spawn(open).join()).unwrap()
}

/// The hardware address of an interface.
fn hardware(name: &str) -> [u8; 6] {
    let all = pnet_datalink::interfaces();
    all.into_iter().find(|interface| interface.name == name).unwrap().mac.unwrap().octets()
}
