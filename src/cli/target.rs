//! The target: from what was typed to one address of one host.
//!
//! A name in other letters than ASCII is looked up in its ASCII form (RFC 5891). A source address that is asked for decides
//! the family.

use std::borrow::Cow;
use std::fmt::Display;
use std::net::IpAddr;

use anyhow::{anyhow, bail};

use super::flags::TraceOptions;
use super::hints;
use crate::untrusted::Untrusted;
use crate::wire::extension::Family;

/// The address to trace: of the family that is asked for, else the first IPv4 address of the name, or its first. `look_up`
/// finds the addresses of a name, or says why it has none.
pub fn resolve(
    name: &str,
    options: &TraceOptions,
    look_up: impl Fn(&str) -> anyhow::Result<Result<Vec<IpAddr>, Untrusted>>,
) -> anyhow::Result<IpAddr> {
    let family = family(options)?;
    let found = match name.parse() {
        Ok(address) => vec![address],
        Err(_) => asked(name, look_up)?,
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
        if name.parse::<IpAddr>().is_ok() {
            return anyhow!("{name} is not an {kind} address{because}: choose one that is");
        }
        anyhow!("{name} has no {kind} address{because}: choose the other family, or another target")
    })?;
    check(target)?;
    Ok(target)
}

/// The family of the options -4 and -6, else that of the source address.
pub fn family(options: &TraceOptions) -> anyhow::Result<Option<Family>> {
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
    bail!("cannot trace to {what} ({target}): choose the address of one host")
}

fn asked(
    name: &str,
    look_up: impl Fn(&str) -> anyhow::Result<Result<Vec<IpAddr>, Untrusted>>,
) -> anyhow::Result<Vec<IpAddr>> {
    let failed = |reason: &dyn Display| {
        anyhow!("cannot resolve {name}: {reason}: {}", hints::for_unresolved(name))
    };
    let ascii = ascii(name).map_err(|error| failed(&error))?;
    let found = look_up(&ascii)?.map_err(|reason| failed(&reason.shown()))?;
    if found.is_empty() {
        return Err(failed(&"it has no address"));
    }
    Ok(found)
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
        resolve(name, options, |_| Ok(Err("nobody to ask".into())))
            .map(|it| it.to_string())
            .map_err(|it| format!("{it:#}"))
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
        assert!(error.contains("not an IPv6 address") && error.contains("2001:db8::2"), "{error}");
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
