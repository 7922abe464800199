//! Which page a browser was on: the guard against requests that a foreign page makes.

use ::http::{
    HeaderMap, Method,
    header::{HOST, HeaderName, ORIGIN},
};

use super::{
    host::Authority,
    problem::{Kind, Problem},
    settings::Settings,
};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Refuses a request that changes something and that a page of another origin made.
///
/// # Errors
/// 403 `foreign-origin`.
pub fn check(settings: &Settings, method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    if method.is_safe() {
        return Ok(());
    }
    check_reader(settings, headers)
}

/// Refuses a request that a page of another origin made, whatever it asks for. Browsers keep the answers to others from
/// such a page, but not what comes over a WebSocket.
///
/// # Errors
/// 403 `foreign-origin`.
pub fn check_reader(settings: &Settings, headers: &HeaderMap) -> Result<(), Problem> {
    let cross_site = headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "cross-site");
    let foreign = headers.get_all(ORIGIN).iter().any(|origin| {
        let host = headers.get(HOST).and_then(|host| host.to_str().ok());
        !origin.to_str().is_ok_and(|origin| is_own(settings, origin, host))
    });
    if cross_site || foreign {
        return Err(Problem::new(
            Kind::ForeignOrigin,
            "the request comes from a page of another origin; only pages that this server serves may do this",
        ));
    }
    Ok(())
}

/// Whether `origin` is the one that the request was sent to, or a configured name. The scheme is left out: behind a
/// proxy that ends TLS we cannot know it.
fn is_own(settings: &Settings, origin: &str, host: Option<&str>) -> bool {
    let (default_port, authority) = match origin.split_once("://") {
        Some(("http", authority)) => (80, authority),
        Some(("https", authority)) => (443, authority),
        // "null" among them: a sandboxed page or a file.
        _ => return false,
    };
    let Some(origin) = Authority::parse(authority) else { return false };
    let same = |host: Authority<'_>| {
        host.host.eq_ignore_ascii_case(origin.host)
            && host.port.unwrap_or(default_port) == origin.port.unwrap_or(default_port)
    };
    host.and_then(Authority::parse).is_some_and(same) || settings.hosts.iter().any(|name| origin.is_named(name))
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    fn allowed(method: Method, name: &'static str, value: &'static str) -> bool {
        let mut settings = Settings::new("127.0.0.1:8080".parse().expect("an address"));
        settings.hosts = vec!["tasks.example".into()];
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost:8080"));
        headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        check(&settings, &method, &headers).is_ok()
    }

    #[test]
    fn only_our_own_pages_may_change_anything() {
        assert!(allowed(Method::POST, "origin", "http://localhost:8080"));
        assert!(allowed(Method::POST, "origin", "https://tasks.example"));
        for origin in ["null", "http://evil.test", "http://localhost:3000", "http://localhost", "ftp://localhost:8080"]
        {
            assert!(!allowed(Method::POST, "origin", origin), "{origin}");
            assert!(!allowed(Method::DELETE, "origin", origin), "{origin}");
            assert!(allowed(Method::GET, "origin", origin), "{origin}");
        }
        assert!(!allowed(Method::PUT, "sec-fetch-site", "cross-site"));
        assert!(allowed(Method::PUT, "sec-fetch-site", "same-origin"));
    }
}
