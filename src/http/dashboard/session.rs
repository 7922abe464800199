//! A token kept in a cookie, for a browser: no script can read it, and no page of another site can have it sent. That
//! pages of other origins change nothing is the check of `Origin`, which every request passes.

use std::borrow::Cow;

use ::http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, COOKIE, SET_COOKIE},
};
use axum::body::Body;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::Deserialize;

use crate::http::{Response, auth, auth::Principal, body, call::Call, problem::Problem};

const NAME: &str = "taskwright_token";
/// A month: whoever looks every day need not say again who he is.
const LIFETIME: u32 = 30 * 24 * 3600;
const LARGEST_BODY: usize = 4096;
/// What a cookie's value need not have encoded (RFC 6265 §4.1.1), and less.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    token: String,
}

/// `POST /login`: takes `{"token":"tw_…"}` and sets the cookie.
///
/// # Errors
/// 401 for a token that is not configured.
pub async fn begin(call: &mut Call) -> Result<Response, Problem> {
    body::check(call, LARGEST_BODY)?;
    let bytes = body::read(call, LARGEST_BODY).await?;
    call.query(&[])?;
    let text = body::text(&bytes)?;
    let Credentials { token } = serde_json::from_str(&text)
        .map_err(|_| Problem::invalid(vec![crate::http::problem::Fault::at("/token", "send {\"token\":\"tw_…\"}")]))?;
    match auth::identify(&call.app, Some(&token))? {
        Principal::Token { .. } => Ok(with_cookie(call, &token, LIFETIME)),
        // Everybody may do everything: there is nothing to keep.
        Principal::Anyone => Ok(no_content()),
        Principal::Attempt(_) => Err(Problem::unauthorized(
            "this is the token of an attempt: use one that is configured under [[tokens]]",
            "Bearer",
        )),
    }
}

/// `DELETE /login`: takes the cookie away.
pub async fn end(call: &mut Call) -> Result<Response, Problem> {
    call.query(&[])?;
    Ok(with_cookie(call, "", 0))
}

/// The token in a request's cookie.
pub fn token(headers: &HeaderMap) -> Option<Cow<'_, str>> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, value) = pairs.find(|(name, value)| *name == NAME && !value.is_empty())?;
    percent_decode_str(value).decode_utf8().ok()
}

fn with_cookie(call: &Call, token: &str, lifetime: u32) -> Response {
    let path = if call.base_path().is_empty() { "/" } else { call.base_path() };
    let value = utf8_percent_encode(token, ENCODED);
    let secure = if call.came_by_tls() { "; Secure" } else { "" };
    let cookie = format!("{NAME}={value}; Path={path}; Max-Age={lifetime}; HttpOnly; SameSite=Strict{secure}");
    let mut response = no_content();
    if let Ok(mut cookie) = HeaderValue::from_str(&cookie) {
        cookie.set_sensitive(true);
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}

fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let read = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, HeaderValue::from_static(value));
            token(&headers).map(Cow::into_owned)
        };
        assert_eq!(read("a=b; taskwright_token=tw_x; c=d"), Some("tw_x".to_owned()));
        assert_eq!(read("taskwright_token=a%3Bb"), Some("a;b".to_owned()));
        for none in ["taskwright_token=", "other_taskwright_token=x", "taskwright_token", "taskwright_token=%ff"] {
            assert_eq!(read(none), None, "{none}");
        }
    }
}
