//! Whom a request believes to talk to: the guard against DNS rebinding.
//!
//! While no tokens are configured everybody who reaches the port may do everything, so a web page that makes its own
//! name resolve to this machine must be refused. It cannot choose the `Host` that its browser sends.

use std::net::IpAddr;

use ::http::{HeaderMap, Uri, Version, header::HOST};

use super::{
    problem::{Kind, Problem},
    settings::Settings,
};

/// Checks `Host`, and the authority of a request line in absolute form.
///
/// # Errors
/// 400 where it is missing, repeated or malformed; 421 where it is a name that is not ours.
pub fn check(settings: &Settings, version: Version, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => Some(host.to_str().ok().and_then(Authority::parse).ok_or_else(malformed)?),
        (Some(_), Some(_)) => return Err(malformed()),
        // HTTP/1.0 knows no Host; no browser speaks it.
        (None, _) if version < Version::HTTP_11 => None,
        (None, _) => return Err(malformed()),
    };
    let target = match uri.authority() {
        Some(authority) => Some(Authority::parse(authority.as_str()).ok_or_else(malformed)?),
        None => None,
    };
    if !settings.tokens.is_empty() {
        return Ok(());
    }
    match [host, target].into_iter().flatten().find(|authority| !is_ours(settings, authority)) {
        None => Ok(()),
        Some(foreign) => Err(Problem::new(
            Kind::MisdirectedRequest,
            format!(
                "this server is not `{}`: use localhost, the address it listens on, or add the name to server.hosts",
                foreign.host
            ),
        )),
    }
}

fn malformed() -> Problem {
    Problem::new(
        Kind::MalformedRequest,
        "the Host header is missing, repeated or malformed: send one `Host: name:port`",
    )
}

fn is_ours(settings: &Settings, authority: &Authority<'_>) -> bool {
    if authority.host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    if let Some(address) = authority.address()
        && (address.is_loopback() || address == settings.bound.ip())
    {
        return true;
    }
    settings.hosts.iter().any(|name| authority.is_named(name))
}

/// `host[:port]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The name, or the address; IPv6 in its brackets.
    pub host: &'a str,
    /// The port, where one is given.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Reads `host`, `host:port`, `[v6]` or `[v6]:port`.
    pub fn parse(text: &'a str) -> Option<Self> {
        let end = if text.starts_with('[') { text.find(']')? + 1 } else { text.find(':').unwrap_or(text.len()) };
        let (host, rest) = text.split_at(end);
        let port = match rest.strip_prefix(':') {
            Some(port) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().ok()?)
            }
            Some(_) => return None,
            None if rest.is_empty() => None,
            None => return None,
        };
        let well_formed = match host.strip_prefix('[') {
            Some(address) => address.trim_end_matches(']').parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
            }
        };
        well_formed.then_some(Authority { host, port })
    }

    fn address(&self) -> Option<IpAddr> {
        self.host.trim_start_matches('[').trim_end_matches(']').parse().ok()
    }

    /// Whether it is `name`, which may hold a port and then needs the same one.
    pub fn is_named(&self, name: &str) -> bool {
        match Authority::parse(name) {
            Some(name) => {
                name.host.eq_ignore_ascii_case(self.host) && name.port.is_none_or(|port| self.port == Some(port))
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;
    use crate::http::settings::{Scope, TokenSettings};

    fn verdict(settings: &Settings, host: Option<&'static str>) -> Result<(), u16> {
        let mut headers = HeaderMap::new();
        if let Some(host) = host {
            headers.insert(HOST, HeaderValue::from_static(host));
        }
        check(settings, Version::HTTP_11, &Uri::from_static("/livez"), &headers).map_err(|p| p.status().as_u16())
    }

    fn settings() -> Settings {
        Settings::new("192.0.2.7:8080".parse().expect("an address"))
    }

    #[test]
    fn loopback_names_and_the_bound_address_are_ours() {
        let settings = settings();
        for host in ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "127.9.9.9", "[::1]:3000", "[::1]", "192.0.2.7:8080"]
        {
            assert_eq!(verdict(&settings, Some(host)), Ok(()), "{host}");
        }
        for host in ["evil.test", "localhost.evil.test", "127.0.0.1.evil.test:80", "192.0.2.8", "[::2]", "127.1"] {
            assert_eq!(verdict(&settings, Some(host)), Err(421), "{host}");
        }
    }

    #[test]
    fn a_malformed_host_is_unreadable() {
        for host in ["", ":80", "a b", "localhost:", "localhost:x", "localhost:99999", "[::1", "[x]", "a@localhost"] {
            assert_eq!(verdict(&settings(), Some(host)), Err(400), "{host}");
        }
        assert_eq!(verdict(&settings(), None), Err(400));
    }

    #[test]
    fn further_names_are_configured() {
        let mut settings = settings();
        settings.hosts = vec!["tasks.example".into(), "two.example:81".into()];
        assert_eq!(verdict(&settings, Some("Tasks.Example:9")), Ok(()));
        assert_eq!(verdict(&settings, Some("two.example:81")), Ok(()));
        assert_eq!(verdict(&settings, Some("two.example")), Err(421));
    }

    #[test]
    fn with_tokens_any_name_will_do() {
        let mut settings = settings();
        settings.tokens.push(TokenSettings { name: "a".into(), sha256: [0; 32], scopes: vec![Scope::Read] });
        assert_eq!(verdict(&settings, Some("evil.test")), Ok(()));
        assert_eq!(verdict(&settings, Some("a b")), Err(400));
    }
}
