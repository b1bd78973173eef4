//! Asking a name server of one's own choice (RFC 1035), where the C library asks the system's.
//!
//! Each question runs to its end in the thread that asks it, in a small runtime of its own: the threads of a
//! [`Pool`](super::pool::Pool) are what runs several at a time. An answer counts only if it
//! comes from that server, with the question's number, and repeats the question: that, retransmission and
//! TCP for answers that were cut off are hickory's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::{TokioResolver, system_conf};

/// The port of name servers.
pub const PORT: u16 = 53;

/// A name server, or those of the system.
#[derive(Clone)]
pub struct Dns {
    config: ResolverConfig,
    options: ResolverOpts,
    wait: Duration,
}

/// Why there is no answer: the server is silent, refuses, or answers nonsense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unanswered;

impl Dns {
    /// Asks this server, at most `wait` long per question.
    #[must_use]
    pub fn at(server: SocketAddr, wait: Duration) -> Self {
        let connections =
            [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
                connection.port = server.port();
                connection
            });
        let server = NameServerConfig::new(server.ip(), true, connections.into());
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        Self::of(config, ResolverOpts::default(), wait)
    }

    /// Asks the servers that `/etc/resolv.conf` names; if it names none, one on this machine, as
    /// resolv.conf(5) says.
    #[must_use]
    pub fn of_system(wait: Duration) -> Self {
        match system_conf::read_system_conf() {
            Ok((config, options)) => Self::of(config, options, wait),
            Err(_) => Self::at((Ipv4Addr::LOCALHOST, PORT).into(), wait),
        }
    }

    fn of(config: ResolverConfig, mut options: ResolverOpts, wait: Duration) -> Self {
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        Self { config, options, wait }
    }

    /// The name of an address as its PTR record has it, however hostile; `None` if it has none.
    #[must_use]
    pub fn name(&self, address: IpAddr) -> Option<String> {
        let records = self.ask(&Name::from(address), RecordType::PTR).ok()?;
        records.iter().find_map(|record| match record {
            RData::PTR(name) => {
                Some(name.iter().map(String::from_utf8_lossy).collect::<Vec<_>>().join("."))
            }
            _ => None,
        })
    }

    /// Whether a name can be asked for: its labels have 1 to 63 octets.
    #[must_use]
    pub fn can_ask_for(name: &str) -> bool {
        Name::from_ascii(name).is_ok()
    }

    /// The addresses of a name, IPv4 first; empty if it has none.
    ///
    /// # Errors
    /// When there is no answer that makes sense.
    pub fn addresses(&self, name: &str) -> Result<Vec<IpAddr>, Unanswered> {
        let name = Name::from_ascii(name).map_err(|_| Unanswered)?;
        let address = |record: &RData| match record {
            RData::A(address) => Some(IpAddr::from(address.0)),
            RData::AAAA(address) => Some(IpAddr::from(address.0)),
            _ => None,
        };
        let both = [RecordType::A, RecordType::AAAA].map(|kind| self.ask(&name, kind));
        match both {
            [Err(_), Err(_)] => Err(Unanswered),
            both => Ok(both.iter().flatten().flatten().filter_map(address).collect()),
        }
    }

    /// The TXT records of a name, the strings of each put together; empty if it has none.
    ///
    /// # Errors
    /// When there is no answer that makes sense.
    pub fn text(&self, name: &str) -> Result<Vec<String>, Unanswered> {
        let name = Name::from_ascii(name).map_err(|_| Unanswered)?;
        let records = self.ask(&name, RecordType::TXT)?;
        let text = |record: &RData| match record {
            RData::TXT(text) => Some(String::from_utf8_lossy(&text.txt_data.concat()).into_owned()),
            _ => None,
        };
        Ok(records.iter().filter_map(text).collect())
    }

    /// The answer to one question: empty if the server says that there is none.
    fn ask(&self, name: &Name, kind: RecordType) -> Result<Vec<RData>, Unanswered> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let answer = runtime.map_err(|_| Unanswered)?.block_on(async {
            let provider = TokioRuntimeProvider::default();
            let builder = TokioResolver::builder_with_config(self.config.clone(), provider);
            let resolver = builder.with_options(self.options.clone()).build()?;
            let answer = tokio::time::timeout(self.wait, resolver.lookup(name.clone(), kind));
            answer.await.unwrap_or(Err(NetError::Timeout))
        });
        match answer {
            Ok(found) => Ok(found.answers().iter().map(|record| record.data.clone()).collect()),
            Err(error) if error.is_no_records_found() => Ok(Vec::new()),
            Err(_) => Err(Unanswered),
        }
    }
}
