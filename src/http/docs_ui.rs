//! `/docs`: the contract to be read and tried in a browser, by Swagger UI, which is part of the binary.

use std::sync::{Arc, LazyLock};

use ::http::{
    HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS},
};
use axum::body::Body;
use bytes::Bytes;
use utoipa_swagger_ui::Config;

use super::{
    Response,
    accept::Media,
    call::Call,
    problem::{Kind, Problem},
    reply,
};

/// Swagger UI sets styles of its own and draws icons from `data:`; everything else is ours.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
);

/// What begins it. The official one names a document on the web.
const START: &str = "SwaggerUIBundle({
  url: document.documentElement.dataset.base + '/openapi.json',
  dom_id: '#ui',
  deepLinking: true,
  validatorUrl: null,
  tryItOutEnabled: true,
  docExpansion: 'list',
});
";

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| Arc::new(Config::from("/openapi.json")));

/// `GET /docs`
pub async fn page(call: &mut Call) -> Result<Response, Problem> {
    call.query(&[])?;
    let base = reply::escape_html(call.base_path());
    let document = format!(
        "<!doctype html>\n<html lang=\"en\" data-base=\"{base}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>The contract · Taskwright</title>\n<link rel=\"icon\" href=\"{base}/docs/favicon-32x32.png\">\n\
         <link rel=\"stylesheet\" href=\"{base}/docs/swagger-ui.css\">\n\
         <script src=\"{base}/docs/swagger-ui-bundle.js\" defer></script>\n\
         <script src=\"{base}/docs/start.js\" defer></script>\n</head>\n\
         <body>\n<main id=\"ui\"></main>\n<noscript>This page needs JavaScript; \
         <a href=\"{base}/openapi.yaml\">openapi.yaml</a> does not.</noscript>\n</body>\n</html>\n"
    );
    let mut response = reply::page(Media::Html, document);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

/// `GET /docs/{file}`
pub async fn file(call: &mut Call) -> Result<Response, Problem> {
    call.query(&[])?;
    let name = call.segment(2).into_owned();
    let (bytes, media) = match name.as_str() {
        "start.js" => (Bytes::from_static(START.as_bytes()), "text/javascript; charset=utf-8".to_owned()),
        "swagger-ui.css" | "swagger-ui-bundle.js" | "favicon-32x32.png" => {
            let file = utoipa_swagger_ui::serve(&name, Arc::clone(&CONFIG));
            let file = file.map_err(|error| Problem::internal(error.to_string()))?;
            let file = file.ok_or_else(|| Problem::internal(format!("Swagger UI has no {name}")))?;
            (Bytes::from(file.bytes.into_owned()), file.content_type)
        }
        _ => return Err(Problem::new(Kind::NotFound, "the pages of the contract have no such file")),
    };
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    let media = HeaderValue::from_str(&media).map_err(|error| Problem::internal(error.to_string()))?;
    headers.insert(CONTENT_TYPE, media);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // Their names do not tell the version.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=3600"));
    Ok(response)
}
