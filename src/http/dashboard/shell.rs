//! The document that every page of the dashboard begins as.

use std::fmt::Write;

use ::http::{
    HeaderValue,
    header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, REFERRER_POLICY, VARY},
};
use bytes::Bytes;

use super::assets::{Bundle, accepts_gzip, compress};
use crate::http::{Response, accept::Media, call::Call, problem::Problem, reply};

/// Only our own files, no text as code, nobody's frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'",
);

/// A page. What its address and query mean is for the script to read.
pub async fn show(call: &mut Call) -> Result<Response, Problem> {
    let page = document(call.base_path());
    let is_compressed = accepts_gzip(call.headers());
    let body = if is_compressed { compress(page.as_bytes()) } else { Bytes::from(page) };
    let mut response = reply::page(Media::Html, body);
    let headers = response.headers_mut();
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    if is_compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

fn document(base_path: &str) -> String {
    let bundle = Bundle::current();
    let base = reply::escape_html(base_path);
    let assets = format!("{base}/assets/{}", bundle.name);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\" data-base=\"{base}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>Taskwright</title>\n\
         <link rel=\"icon\" href=\"{assets}/icon.svg\" type=\"image/svg+xml\">\n\
         <link rel=\"stylesheet\" href=\"{assets}/app.css\">\n\
         <script type=\"module\" src=\"{assets}/app.js\"></script>\n"
    );
    // A module names others, which name others: without this each step would be a round trip.
    // Those of the pages come when a page is shown.
    for module in bundle.needed_by("app.js").iter().filter(|module| *module != "app.js") {
        _ = writeln!(page, "<link rel=\"modulepreload\" href=\"{assets}/{module}\">");
    }
    _ = write!(
        page,
        "</head>\n<body>\n<div id=\"app\"><header class=\"top\"><a class=\"brand\" \
         href=\"{base}/\">Taskwright</a></header></div>\n<noscript>The dashboard needs JavaScript. What curl gets does not: \
         <code>curl {base}/</code></noscript>\n</body>\n</html>\n"
    );
    page
}
