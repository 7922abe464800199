//! Where an application serves our router: what links and the reports of commands need to know.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use ::http::Uri;

use crate::http;

/// A URL that the router cannot be mounted at.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no URL to mount at: write http://ADDRESS:PORT/PATH, such as http://127.0.0.1:3000/tasks")]
pub struct InvalidMount(pub String);

/// A URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// Without a slash at its end.
    pub url: String,
    host: String,
    port: u16,
    path: String,
}

impl Mount {
    pub fn parse(url: &str) -> Result<Mount, InvalidMount> {
        let invalid = || InvalidMount(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| invalid())?;
        let authority = uri.authority().ok_or_else(invalid)?;
        let plain = uri.scheme_str() == Some("http") && uri.query().is_none() && !authority.as_str().contains('@');
        if !plain || authority.host().is_empty() {
            return Err(invalid());
        }
        Ok(Mount {
            url: url.trim_end_matches('/').to_owned(),
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(80),
            path: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    /// Puts the path under which links stand, and the name by which clients call us, into `settings`.
    pub fn apply(&self, settings: &mut http::Settings) {
        settings.base_path.clone_from(&self.path);
        match self.address() {
            Some(address) => settings.bound = SocketAddr::new(address, self.port),
            None if self.is_local() => {}
            None => settings.hosts.push(self.host.clone()),
        }
    }

    /// Whether only this machine can call us there.
    pub fn is_local(&self) -> bool {
        match self.address() {
            Some(address) => address.to_canonical().is_loopback(),
            None => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    fn address(&self) -> Option<IpAddr> {
        self.host.trim_matches(['[', ']']).parse().ok()
    }
}

/// The address of a server that has no socket of its own.
pub(super) const NO_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_host_port_and_path() {
        let mount = Mount::parse("http://tasks.example:81/a/b/").expect("a URL");
        assert_eq!((mount.url.as_str(), mount.is_local()), ("http://tasks.example:81/a/b", false));
        let mut settings = http::Settings::new(NO_ADDRESS);
        mount.apply(&mut settings);
        assert_eq!((settings.base_path.as_str(), settings.hosts), ("/a/b", vec!["tasks.example".to_owned()]));
        for (url, local) in [
            ("http://127.0.0.1:3000/tasks", true),
            ("http://localhost", true),
            ("http://[::1]:3000/", true),
            ("http://192.0.2.7/tasks", false),
        ] {
            assert_eq!(Mount::parse(url).expect(url).is_local(), local, "{url}");
        }
        for url in ["", "/tasks", "127.0.0.1:3000", "https://localhost", "http://a:b@localhost", "http://localhost?x=1"]
        {
            assert_eq!(Mount::parse(url), Err(InvalidMount(url.to_owned())), "{url}");
        }
    }
}
