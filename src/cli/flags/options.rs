//! The options that shape a trace: letters and meanings as in traceroute(8).
//!
//! Every one is optional, so that a replay can tell what was asked for from what the recording says.
//! [`TraceOptions::apply`] puts what was given into a configuration.

use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::values::{parse_address, parse_flow, parse_send_wait, parse_wait, within};
use crate::probe::{FlowMode, ProbeType};
use crate::trace::config::MAX_QUERIES;
use crate::trace::survey::SurveyHints;
use crate::trace::{TraceConfig, Wait};
use crate::wire::extension::Family;

/// What shapes a trace, and is needed again to replay a recording that does not tell.
#[derive(Clone, Debug, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag")]
pub struct TraceOptions {
    /// Length of each probe in bytes, IP header included: 28 to 65535 [default: 60; IPv6: 80; in a
    /// replay, as recorded]
    #[arg(value_name = "PACKETLEN", value_parser = within(28_u16, u16::MAX))]
    pub packet_len: Option<u16>,

    /// Length of each probe in bytes: as PACKETLEN after the target
    #[arg(long = "packetlen", value_name = "N", help_heading = "Probes", conflicts_with = "packet_len", value_parser = within(28_u16, u16::MAX))]
    pub packet_len_option: Option<u16>,

    /// Trace IPv4: the first IPv4 address of the target
    #[arg(short = '4', help_heading = "Route", conflicts_with = "ipv6")]
    pub ipv4: bool,

    /// Trace IPv6: the first IPv6 address of the target
    #[arg(short = '6', help_heading = "Route")]
    pub ipv6: bool,

    /// Take defaults from this file [default: ~/.config/rtrace/config.toml; see rtrace config --default]
    #[arg(long = "config", value_name = "FILE", help_heading = "Output")]
    pub config_file: Option<PathBuf>,

    /// Use this interface alone: probes leave and are captured there; "any" records all interfaces cooked
    #[arg(short, long, value_name = "IFACE", help_heading = "Route", value_parser = NonEmptyStringValueParser::new())]
    pub iface: Option<String>,

    /// Use this address of this host as the source
    #[arg(short, long, value_name = "ADDRESS", help_heading = "Route", value_parser = parse_address)]
    pub source: Option<IpAddr>,

    /// Use this source port [default: a free random one]
    #[arg(long, value_name = "PORT", help_heading = "Probes", value_parser = within(1_u16, u16::MAX))]
    pub sport: Option<u16>,

    /// TTL of the first hop: 1 to 255 [default: 1]
    #[arg(short, long = "first", value_name = "TTL", help_heading = "Probes", value_parser = within(1_u8, u8::MAX))]
    pub first_ttl: Option<u8>,

    /// TTL of the last hop: 1 to 255 [default: 30]
    #[arg(short, long = "max-hops", value_name = "TTL", help_heading = "Probes", value_parser = within(1_u8, u8::MAX))]
    pub max_ttl: Option<u8>,

    /// Probes per hop: 1 to 1000 [default: 3]
    #[arg(short, long, value_name = "N", help_heading = "Probes", value_parser = within(1_u16, MAX_QUERIES))]
    pub queries: Option<u16>,

    /// Destination port of the first probe: 1 to 65535; each further probe takes the next [default: 33434]
    #[arg(short, long = "port", value_name = "PORT", help_heading = "Probes", value_parser = within(1_u16, u16::MAX))]
    pub port: Option<u16>,

    /// Type of service of the probes: 0 to 255 [default: 0]
    #[arg(short, long, value_name = "TOS", help_heading = "Probes", value_parser = within(0_u8, u8::MAX))]
    pub tos: Option<u8>,

    /// Set the Don't Fragment flag
    #[arg(short = 'F', long, help_heading = "Probes")]
    pub dont_fragment: bool,

    /// Find the path MTU and where the path narrows: F=NUM at the hop after it, and a sentence at the end;
    /// PACKETLEN limits the size probes. Implies -F
    #[arg(long, help_heading = "Probes")]
    pub mtu: bool,

    /// Flow label of the probes (IPv6): 0 to 1048575 [default: a random one]
    #[arg(short = 'l', long = "flowlabel", value_name = "LABEL", help_heading = "Probes", value_parser = within(0_u32, 0xf_ffff))]
    pub flow_label: Option<u32>,

    /// Fields that stay the same in all probes, so that load balancers treat them alike: none in
    /// particular, all that routers hash, or all but the IP-ID [default: classic]
    #[arg(long, value_name = "classic|paris|dublin", help_heading = "Probes", value_parser = parse_flow)]
    pub flow: Option<FlowMode>,

    /// What probes ask with.
    #[command(flatten)]
    pub kind: ProbeKind,

    /// Longest wait for an answer in seconds, and factors of the RTT of another answer from the same
    /// hop and from a later one; MAX alone switches the factors off [default: 5,3,10, where MAX is
    /// ten times the largest RTT seen if that is less, but at least a second, and 3 s once per trace for
    /// hops beyond the last router that answered]
    #[arg(short, long, value_name = "MAX,HERE,NEAR", help_heading = "Waiting", value_parser = parse_wait)]
    pub wait: Option<Wait>,

    /// Most probes in flight, hop after hop as traceroute: 1 to 65535 [default: a scout with the
    /// highest TTL first; its answer says how many hops to probe at once]
    #[arg(short = 'N', long = "sim-queries", value_name = "N", help_heading = "Waiting", value_parser = within(1_u16, u16::MAX))]
    pub in_flight: Option<u16>,

    /// Least pause between probes: seconds, or milliseconds if above 10 [default: 0]
    #[arg(short = 'z', long = "sendwait", value_name = "TIME", help_heading = "Waiting", value_parser = parse_send_wait, allow_hyphen_values = true)]
    pub send_wait: Option<f64>,
}

/// Which type of probe is sent; UDP to rising ports if none is chosen.
#[derive(Clone, Debug, Default, Args)]
#[group(multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag; at most one is given")]
pub struct ProbeKind {
    /// UDP to one port, 53 by default, with a DNS query that resolvers answer
    #[arg(short = 'U', long = "udp", help_heading = "Probe types")]
    pub udp_fixed: bool,

    /// ICMP echo requests
    #[arg(short = 'I', long = "icmp", help_heading = "Probe types")]
    pub echo: bool,

    /// TCP connection requests (SYN), to port 80 by default
    #[arg(short = 'T', long = "tcp", help_heading = "Probe types")]
    pub syn: bool,

    /// TCP acknowledgments, to port 80 by default
    #[arg(long, help_heading = "Probe types")]
    pub ack: bool,

    /// UDP-Lite, to port 53 by default
    #[arg(long, help_heading = "Probe types")]
    pub udplite: bool,

    /// Any IP protocol: 0 to 255
    #[arg(short = 'P', long, value_name = "NUMBER", help_heading = "Probe types", value_parser = within(0_u8, u8::MAX))]
    pub protocol: Option<u8>,
}

impl ProbeKind {
    /// The type that was chosen, if one was.
    pub fn chosen(&self) -> Option<ProbeType> {
        let flags = [
            (self.udp_fixed, ProbeType::UdpFixed),
            (self.echo, ProbeType::IcmpEcho),
            (self.syn, ProbeType::TcpSyn),
            (self.ack, ProbeType::TcpAck),
            (self.udplite, ProbeType::UdpLite),
        ];
        let flag = flags.iter().find(|(given, _)| *given).map(|(_, probe)| *probe);
        flag.or(self.protocol.map(ProbeType::Protocol))
    }
}

impl TraceOptions {
    /// The length of the probes, in either of the two ways to say it.
    pub fn packet_len(&self) -> Option<u16> {
        self.packet_len.or(self.packet_len_option)
    }

    /// The family that is asked for.
    pub fn family(&self) -> Option<Family> {
        let flags = [(self.ipv4, Family::V4), (self.ipv6, Family::V6)];
        flags.iter().find(|(given, _)| *given).map(|(_, family)| *family)
    }

    /// What they say of the traces in a capture.
    pub fn hints(&self) -> SurveyHints {
        SurveyHints { first_ttl: self.first_ttl, protocol: self.kind.protocol }
    }

    /// The type of probe: UDP to rising ports if none was chosen.
    pub fn probe_type(&self) -> ProbeType {
        self.kind.chosen().unwrap_or(ProbeType::Udp)
    }

    /// Puts what was given on the command line in the place of what `config` has.
    pub fn apply(&self, config: &mut TraceConfig) {
        fn set<T: Copy>(field: &mut T, given: Option<T>) {
            if let Some(value) = given {
                *field = value;
            }
        }
        set(&mut config.first_ttl, self.first_ttl);
        set(&mut config.max_ttl, self.max_ttl);
        set(&mut config.queries, self.queries);
        set(&mut config.first_port, self.port);
        set(&mut config.tos, self.tos);
        set(&mut config.wait, self.wait);
        set(&mut config.in_flight, self.in_flight);
        config.in_flight_exact |= self.in_flight.is_some();
        set(&mut config.send_wait, self.send_wait);
        config.mtu |= self.mtu;
        if config.mtu {
            config.mtu_limit = self.packet_len().or(config.mtu_limit);
        } else {
            set(&mut config.packet_len, self.packet_len());
        }
        set(&mut config.flow_mode, self.flow);
        set(&mut config.flow_label, self.flow_label);
        config.dont_fragment |= self.dont_fragment || self.mtu;
    }
}
