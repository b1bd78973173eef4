//! A writer of tiny databases in the `MaxMind` DB format
//! (<https://maxmind.github.io/MaxMind-DB/>): a search tree over the bits of an address, then records.

use std::fs;
use std::net::IpAddr;
use std::path::PathBuf;

/// A value in a record.
pub enum Value {
    Text(String),
    Short(u16),
    Number(u32),
    Long(u64),
    List(Vec<Value>),
    Map(Vec<(&'static str, Value)>),
}

pub fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

/// A database in the making.
pub struct Mmdb {
    kind: &'static str,
    nodes: Vec<[Next; 2]>,
    data: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Next {
    Nothing,
    Node(usize),
    Record(usize),
}

impl Mmdb {
    /// An empty one that says it is of this type.
    pub fn new(kind: &'static str) -> Self {
        Self { kind, nodes: vec![[Next::Nothing; 2]], data: Vec::new() }
    }

    /// Adds a record for a network: "192.0.2.0/24". Networks must not overlap.
    pub fn with(mut self, network: &str, record: &Value) -> Self {
        let (address, len) = network.split_once('/').unwrap();
        let len: usize = len.parse().unwrap();
        // IPv4 is in ::/96.
        let (bits, len) = match address.parse().unwrap() {
            IpAddr::V4(address) => (u128::from(address.to_bits()), len + 96),
            IpAddr::V6(address) => (address.to_bits(), len),
        };
        let offset = self.data.len();
        encode(record, &mut self.data);
        let mut at = 0;
        for depth in 0..len {
            let side = usize::from(bits >> (127 - depth) & 1 == 1);
            if depth + 1 == len {
                self.nodes[at][side] = Next::Record(offset);
            } else if let Next::Node(next) = self.nodes[at][side] {
                at = next;
            } else {
                self.nodes.push([Next::Nothing; 2]);
                let next = self.nodes.len() - 1;
                self.nodes[at][side] = Next::Node(next);
                at = next;
            }
        }
        self
    }

    /// The file.
    pub fn to_bytes(&self) -> Vec<u8> {
        let count = self.nodes.len();
        let mut bytes = Vec::new();
        for next in self.nodes.iter().flatten() {
            let value = match next {
                Next::Nothing => count,
                Next::Node(node) => *node,
                Next::Record(offset) => count + 16 + offset,
            };
            bytes.extend(u32::try_from(value).unwrap().to_be_bytes());
        }
        bytes.extend([0; 16]);
        bytes.extend(&self.data);
        bytes.extend(b"\xab\xcd\xefMaxMind.com");
        let metadata = Value::Map(vec![
            ("binary_format_major_version", Value::Short(2)),
            ("binary_format_minor_version", Value::Short(0)),
            ("build_epoch", Value::Long(1_700_000_000)),
            ("database_type", text(self.kind)),
            ("description", Value::Map(vec![])),
            ("ip_version", Value::Short(6)),
            ("languages", Value::List(vec![text("en")])),
            ("node_count", Value::Number(u32::try_from(count).unwrap())),
            ("record_size", Value::Short(32)),
        ]);
        encode(&metadata, &mut bytes);
        bytes
    }

    /// Writes the file.
    pub fn save(&self, path: PathBuf) -> PathBuf {
        fs::write(&path, self.to_bytes()).unwrap();
        path
    }
}

fn encode(value: &Value, into: &mut Vec<u8>) {
    match value {
        Value::Text(text) => {
            control(2, text.len(), into);
            into.extend(text.as_bytes());
        }
        Value::Short(number) => {
            control(5, 2, into);
            into.extend(number.to_be_bytes());
        }
        Value::Long(number) => {
            control(9, 8, into);
            into.extend(number.to_be_bytes());
        }
        Value::Number(number) => {
            control(6, 4, into);
            into.extend(number.to_be_bytes());
        }
        Value::List(items) => {
            control(11, items.len(), into);
            for item in items {
                encode(item, into);
            }
        }
        Value::Map(entries) => {
            control(7, entries.len(), into);
            for (key, value) in entries {
                encode(&text(key), into);
                encode(value, into);
            }
        }
    }
}

/// The control byte: type and size, either of which may take more bytes.
fn control(kind: u8, size: usize, into: &mut Vec<u8>) {
    let (short, more) = match size {
        0..29 => (size, None),
        29..285 => (29, Some(vec![size - 29])),
        _ => (30, Some(vec![(size - 285) >> 8, (size - 285) & 0xff])),
    };
    let byte = |size: usize| u8::try_from(size).unwrap();
    if kind < 8 {
        into.push(kind << 5 | byte(short));
    } else {
        into.extend([byte(short), kind - 7]);
    }
    into.extend(more.into_iter().flatten().map(byte));
}

/// Records in the forms of `MaxMind` and of `IPinfo`, for the addresses of the simulated network and of
/// the labs: two systems in one, among them what nobody should print as it is.
pub fn geolite_asn() -> Mmdb {
    let system = |number, name| {
        Value::Map(vec![
            ("autonomous_system_number", Value::Number(number)),
            ("autonomous_system_organization", text(name)),
        ])
    };
    Mmdb::new("GeoLite2-ASN")
        .with("198.51.100.0/24", &system(64_500, "Example Transit, Inc."))
        .with("203.0.113.0/25", &system(4_200_000_000, "evil\x1b[2J <b>\u{202e}"))
        .with("2001:db8:113::/48", &system(64_501, &"x".repeat(300)))
}

pub fn ipinfo_asn() -> Mmdb {
    let system = |number, name| Value::Map(vec![("asn", text(number)), ("as_name", text(name))]);
    Mmdb::new("ipinfo generic_asn_free.mmdb")
        .with("198.51.100.0/24", &system("AS64500", "Example Transit, Inc."))
        .with("203.0.113.0/25", &system("AS-1", "nonsense"))
}

pub fn geolite_city() -> Mmdb {
    let named = |name| Value::Map(vec![("de", text("x")), ("en", text(name))]);
    let place = |country, city| {
        Value::Map(vec![
            ("city", Value::Map(vec![("names", named(city))])),
            ("country", Value::Map(vec![("iso_code", text(country)), ("names", named(country))])),
        ])
    };
    Mmdb::new("GeoLite2-City")
        .with("198.51.100.0/24", &place("US", "New York"))
        .with("203.0.113.0/25", &place("zz\x1b", "\x1b]0;x\x07 (192.0.2.1) 9.9 ms"))
}

pub fn ipinfo_city() -> Mmdb {
    let place = |entries| Value::Map(entries);
    Mmdb::new("ipinfo standard_location.mmdb")
        .with(
            "198.51.100.0/25",
            &place(vec![("city", text("S\u{e3}o Paulo")), ("country", text("BR"))]),
        )
        .with(
            "203.0.113.0/25",
            &place(vec![("country", text("Australia")), ("country_code", text("AU"))]),
        )
}
