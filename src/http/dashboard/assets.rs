//! The files of the dashboard. Their folder is named by what they hold, so that a browser may keep them for ever.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::Write as _,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use ::http::{
    HeaderValue, StatusCode,
    header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, VARY, X_CONTENT_TYPE_OPTIONS},
};
use axum::body::Body;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

use super::slim::{imports, slim};
use crate::http::{
    Response,
    call::Call,
    problem::{Kind, Problem},
};

/// After what time a debug build reads the files anew. A page asks for tens of them at once.
const STALE: Duration = Duration::from_secs(1);

/// In a release they are part of the binary, in a debug build they are read from the disk.
#[derive(RustEmbed)]
#[folder = "src/http/dashboard/assets/"]
struct Files;

/// All of them, and what they are called.
pub struct Bundle {
    /// The folder under `/assets/`.
    pub name: String,
    files: BTreeMap<String, Asset>,
}

/// One file.
struct Asset {
    bytes: Cow<'static, [u8]>,
    media: &'static str,
    compressed: OnceLock<Bytes>,
}

impl Bundle {
    /// The files as they are now; while they are edited, as they were a second ago at most.
    pub fn current() -> Arc<Bundle> {
        static LATEST: Mutex<Option<(Instant, Arc<Bundle>)>> = Mutex::new(None);
        let mut latest = LATEST.lock().unwrap_or_else(PoisonError::into_inner);
        match &*latest {
            Some((read, bundle)) if !cfg!(debug_assertions) || read.elapsed() < STALE => Arc::clone(bundle),
            _ => {
                let bundle = Arc::new(Bundle::read());
                *latest = Some((Instant::now(), Arc::clone(&bundle)));
                bundle
            }
        }
    }

    fn read() -> Bundle {
        let mut hash = Sha256::new();
        let mut files = BTreeMap::new();
        let mut names: Vec<_> = Files::iter().collect();
        names.sort();
        for name in names {
            let Some(media) = media(&name) else { continue };
            let Some(file) = Files::get(&name) else { continue };
            hash.update(name.as_bytes());
            hash.update([0]);
            let bytes = if is_read_by_people(&name) {
                Cow::Owned(slim(&String::from_utf8_lossy(&file.data)).into_bytes())
            } else {
                file.data
            };
            hash.update(&bytes);
            let asset = Asset { bytes, media, compressed: OnceLock::new() };
            files.insert(name.into_owned(), asset);
        }
        let name = hash.finalize().iter().take(8).fold(String::new(), |mut name, byte| {
            _ = write!(name, "{byte:02x}");
            name
        });
        Bundle { name, files }
    }

    /// The modules that one needs before it runs, itself too: their paths within the bundle.
    pub fn needed_by(&self, module: &str) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        let mut open = vec![module.to_owned()];
        while let Some(module) = open.pop() {
            let Some(asset) = self.files.get(&module) else { continue };
            let text = String::from_utf8_lossy(&asset.bytes);
            open.extend(imports(&text).map(|path| beside(&module, path)).filter(|path| !needed.contains(path)));
            needed.insert(module);
        }
        needed
    }
}

/// Whether a file is as it was written, with comments and indentation: not what other projects publish.
fn is_read_by_people(name: &str) -> bool {
    !name.starts_with("vendor/") && (name.ends_with(".js") || name.ends_with(".css"))
}

/// What a relative path means within a module.
fn beside(module: &str, path: &str) -> String {
    let mut parts: Vec<&str> = module.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// What a file is; none for those that are not for browsers.
fn media(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

impl Asset {
    /// Compressed once, since what is asked for most is asked for by every new browser.
    fn compressed(&self) -> Bytes {
        self.compressed.get_or_init(|| compress(&self.bytes)).clone()
    }
}

/// As gzip.
pub fn compress(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 3), Compression::best());
    // A vector takes whatever is written to it.
    let written = encoder.write_all(bytes).and_then(|()| encoder.finish());
    Bytes::from(written.unwrap_or_default())
}

/// `GET /assets/{bundle}/{path}`
pub async fn show(call: &mut Call) -> Result<Response, Problem> {
    call.query(&[])?;
    let bundle = Bundle::current();
    let path = call.parts.uri.path();
    let mut pieces = path.trim_start_matches('/').splitn(3, '/').skip(1);
    let (name, file) = (pieces.next().unwrap_or_default(), pieces.next().unwrap_or_default());
    let is_current = name == bundle.name;
    // While somebody edits the files, a page that is half loaded goes on with the new ones.
    let asset = bundle.files.get(file).filter(|_| is_current || cfg!(debug_assertions));
    let Some(asset) = asset else {
        return Err(Problem::new(Kind::NotFound, "the dashboard has no such file: load its page anew"));
    };
    let compressed = accepts_gzip(call.headers()).then(|| asset.compressed());
    let is_compressed = compressed.is_some();
    let body = compressed.unwrap_or_else(|| match &asset.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::copy_from_slice(bytes),
    });
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.media));
    headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let keep = if is_current { "public, max-age=31536000, immutable" } else { "no-store" };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(keep));
    if is_compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok(response)
}

/// Whether the client takes gzip (RFC 9110 §12.5.3).
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut pieces = coding.split(';').map(str::trim);
        let named = pieces.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let refused = pieces.any(|piece| {
            piece.strip_prefix("q=").and_then(|q| q.parse::<f32>().ok()).is_some_and(|quality| quality == 0.0)
        });
        named && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(value: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
        accepts_gzip(&headers)
    }

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        assert!(takes("gzip, deflate, br"));
        assert!(takes("br;q=1.0, GZIP;q=0.5"));
        assert!(!takes("br, gzip;q=0"));
        assert!(!takes("identity"));
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn what_is_compressed_is_the_file() {
        use std::io::Read;

        let bundle = Bundle::read();
        let asset = &bundle.files["app.js"];
        let mut text = Vec::new();
        flate2::read::GzDecoder::new(&asset.compressed()[..]).read_to_end(&mut text).expect("gzip");
        assert!(text == asset.bytes.as_ref() && !text.is_empty());
        assert!(bundle.files.keys().all(|name| media(name).is_some()));
    }

    #[test]
    fn a_module_needs_those_that_it_imports_and_no_page() {
        let needed = Bundle::read().needed_by("app.js");
        for module in ["app.js", "core/router.js", "vendor/preact.js"] {
            assert!(needed.contains(module), "{module}: {needed:?}");
        }
        assert!(!needed.iter().any(|module| module.starts_with("pages/")), "{needed:?}");
    }
}
