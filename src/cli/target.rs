//! The target: from what was typed to one address of one host.
//!
//! A name in other letters than ASCII is asked for in its ASCII form (RFC 5891). With `--resolver` that server is asked, else
//! the C library. A source address that is asked for decides the family.

use std::borrow::Cow;
use std::fmt::Display;
use std::io;
use std::net::{IpAddr, SocketAddr};

use anyhow::{anyhow, bail};

use super::hints;
use super::options::TraceOptions;
use crate::enrich::dns::Dns;
use crate::enrich::names::DEFAULT_WAIT;
use crate::wire::extension::Family;

/// The address to trace: of the family that is asked for, else the first IPv4 address of the name, or its first.
pub fn resolve(
    name: &str,
    options: &TraceOptions,
    resolver: Option<SocketAddr>,
) -> anyhow::Result<IpAddr> {
    let family = family(options)?;
    let found = match name.parse() {
        Ok(address) => vec![address],
        Err(_) => look_up(name, resolver)?,
    };
    let fits = |address: &IpAddr| family.is_none_or(|family| family == Family::of(*address));
    let mut fitting: Vec<IpAddr> = found.into_iter().filter(fits).collect();
    fitting.sort_by_key(IpAddr::is_ipv6);
    let target = fitting.first().copied().ok_or_else(|| {
        let kind = if family == Some(Family::V6) { "IPv6" } else { "IPv4" };
        let because = match options.source {
            Some(source) if options.family().is_none() => {
                format!(", and the source {source} needs one")
            }
            _ => String::new(),
        };
        anyhow!("{name} has no {kind} address{because}: choose the other family, or another target")
    })?;
    check(target)?;
    Ok(target)
}

/// The family of the options -4 and -6, else that of the source address.
fn family(options: &TraceOptions) -> anyhow::Result<Option<Family>> {
    let of_source = options.source.map(Family::of);
    match (options.family(), of_source) {
        (Some(asked), Some(source)) if asked != source => {
            let address = options.source.map(|source| source.to_string()).unwrap_or_default();
            let kind = if asked == Family::V6 { "IPv6" } else { "IPv4" };
            bail!(
                "{address} is not an {kind} address: leave out -4 and -6, or choose another source with -s"
            )
        }
        (asked, of_source) => Ok(asked.or(of_source)),
    }
}

/// Refuses what is not the address of one host.
pub fn check(target: IpAddr) -> anyhow::Result<()> {
    let what = match target {
        _ if target.is_unspecified() => "the unspecified address",
        _ if target.is_multicast() => "a multicast address",
        IpAddr::V4(v4) if v4.is_broadcast() => "the broadcast address",
        _ => return Ok(()),
    };
    bail!("cannot trace to {target}: it is {what}: choose the address of one host")
}

fn look_up(name: &str, resolver: Option<SocketAddr>) -> anyhow::Result<Vec<IpAddr>> {
    let failed = |reason: &dyn Display| {
        anyhow!("cannot resolve {name}: {reason}: {}", hints::for_unresolved(name))
    };
    let ascii = ascii(name).map_err(|error| failed(&error))?;
    let found = match resolver {
        None => dns_lookup::lookup_host(&ascii).map(Iterator::collect).map_err(io::Error::from),
        Some(server) => Dns::at(server, DEFAULT_WAIT)
            .addresses(&ascii)
            .map_err(|_| io::Error::other(format!("no answer from {server}")))
            .and_then(|found: Vec<IpAddr>| {
                let none = || io::Error::other(format!("{server} knows no address of it"));
                if found.is_empty() { Err(none()) } else { Ok(found) }
            }),
    };
    found.map_err(|error| failed(&error))
}

/// The form in which a domain name is looked up.
fn ascii(name: &str) -> anyhow::Result<Cow<'_, str>> {
    idna::domain_to_ascii_cow(name.as_bytes(), idna::AsciiDenyList::EMPTY)
        .map_err(|_| anyhow!("it is not a domain name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(name: &str, options: &TraceOptions) -> Result<String, String> {
        resolve(name, options, None).map(|it| it.to_string()).map_err(|it| format!("{it:#}"))
    }

    #[test]
    fn only_one_host_can_be_a_target() {
        let options = TraceOptions::default();
        for (name, reason) in [
            ("::", "unspecified"),
            ("0.0.0.0", "unspecified"),
            ("ff02::1", "multicast"),
            ("224.0.0.1", "multicast"),
            ("255.255.255.255", "broadcast"),
        ] {
            let error = resolved(name, &options).expect_err(name);
            assert!(error.contains(reason) && error.contains("one host"), "{error}");
        }
        assert_eq!(resolved("203.0.113.9", &options), Ok("203.0.113.9".into()));
    }

    #[test]
    fn the_family_follows_the_source() {
        let of =
            |source: &str| TraceOptions { source: source.parse().ok(), ..TraceOptions::default() };
        assert_eq!(resolved("::1", &of("2001:db8::2")), Ok("::1".into()));
        let error = resolved("127.0.0.1", &of("2001:db8::2")).unwrap_err();
        assert!(error.contains("no IPv6 address") && error.contains("2001:db8::2"), "{error}");
        let both = TraceOptions { ipv4: true, ..of("2001:db8::2") };
        assert!(
            resolved("::1", &both).is_err_and(|error| error.contains("is not an IPv4 address"))
        );
    }

    #[test]
    fn other_letters_have_an_ascii_form() {
        assert_eq!(ascii("d\u{e4}nic.de").unwrap(), "xn--dnic-loa.de");
        assert_eq!(ascii("my_host.example").unwrap(), "my_host.example");
        let error = resolved("xn--\u{fffd}", &TraceOptions::default()).unwrap_err();
        assert!(error.contains("not a domain name"), "{error}");
    }
}
