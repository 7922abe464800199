//! Content negotiation (RFC 9110 §12.5.1): which of our forms a client would rather have.

use ::http::{HeaderMap, header::ACCEPT};

/// A form that an answer can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    Json,
    Problem,
    Text,
    Html,
    EventStream,
    Ndjson,
    Yaml,
    Metrics,
}

impl Media {
    /// The value of `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Media::Json => "application/json",
            Media::Problem => "application/problem+json",
            Media::Text => "text/plain; charset=utf-8",
            Media::Html => "text/html; charset=utf-8",
            Media::EventStream => "text/event-stream",
            Media::Ndjson => "application/x-ndjson",
            Media::Yaml => "application/yaml",
            Media::Metrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Type and subtype, without parameters.
    pub fn essence(self) -> &'static str {
        let full = self.content_type();
        full.split_once(';').map_or(full, |(essence, _)| essence)
    }
}

/// The offer that `Accept` prefers, the earlier one where it does not care; None if it excludes them all.
pub fn choose(headers: &HeaderMap, offers: &[Media]) -> Option<Media> {
    let mut values = headers.get_all(ACCEPT).iter().peekable();
    let first = *offers.first()?;
    if values.peek().is_none() {
        return Some(first);
    }
    let ranges: Vec<Range<'_>> =
        values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).filter_map(range).collect();
    if ranges.is_empty() {
        return Some(first);
    }
    let mut best: Option<(u16, Media)> = None;
    for offer in offers {
        let quality = quality(&ranges, *offer);
        if quality > best.map_or(0, |(best, _)| best) {
            best = Some((quality, *offer));
        }
    }
    best.map(|(_, media)| media)
}

struct Range<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// In thousandths.
    quality: u16,
}

fn range(text: &str) -> Option<Range<'_>> {
    let mut pieces = text.split(';');
    let (kind, subtype) = pieces.next()?.trim().split_once('/')?;
    let mut quality = 1000;
    for piece in pieces {
        if let Some((name, value)) = piece.split_once('=')
            && name.trim().eq_ignore_ascii_case("q")
        {
            let value: f32 = value.trim().parse().ok().filter(|q| (0.0..=1.0).contains(q))?;
            quality = (value * 1000.0).round() as u16;
        }
    }
    Some(Range { kind, subtype, quality })
}

/// The quality that the most specific range gives `media`.
fn quality(ranges: &[Range<'_>], media: Media) -> u16 {
    let Some((kind, subtype)) = media.essence().split_once('/') else { return 0 };
    let specificity = |range: &Range<'_>| {
        if range.kind == "*" && range.subtype == "*" {
            Some(0)
        } else if !range.kind.eq_ignore_ascii_case(kind) {
            None
        } else if range.subtype == "*" {
            Some(1)
        } else if range.subtype.eq_ignore_ascii_case(subtype) {
            Some(2)
        } else {
            None
        }
    };
    ranges
        .iter()
        .filter_map(|range| specificity(range).map(|specificity| (specificity, range.quality)))
        .max()
        .map_or(0, |(_, quality)| quality)
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    fn chosen(accept: &'static str, offers: &[Media]) -> Option<Media> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        choose(&headers, offers)
    }

    #[test]
    fn json_is_the_default() {
        let both = [Media::Json, Media::Text];
        assert_eq!(choose(&HeaderMap::new(), &both), Some(Media::Json));
        assert_eq!(chosen("*/*", &both), Some(Media::Json));
        assert_eq!(chosen("text/html,application/xhtml+xml,*/*;q=0.8", &both), Some(Media::Json));
        assert_eq!(chosen("text/plain, application/json", &both), Some(Media::Json));
    }

    #[test]
    fn the_most_specific_range_decides() {
        let both = [Media::Json, Media::Text];
        assert_eq!(chosen("text/plain", &both), Some(Media::Text));
        assert_eq!(chosen("Text/*", &both), Some(Media::Text));
        assert_eq!(chosen("application/json;q=0.1, text/plain;q=0.2", &both), Some(Media::Text));
        assert_eq!(chosen("*/*, application/json;q=0", &both), Some(Media::Text));
        assert_eq!(chosen("image/png", &both), None);
        assert_eq!(chosen("text/plain", &[Media::Json]), None);
        assert_eq!(chosen("application/json;q=0", &[Media::Json]), None);
        assert_eq!(chosen("application/json;version=1", &[Media::Json]), Some(Media::Json));
    }
}
