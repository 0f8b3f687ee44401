//! Style and scripts, embedded. Their names hold a hash of their content, so that a browser keeps them for ever.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use data_encoding::HEXLOWER;
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use sha2::{Digest as _, Sha256};

use crate::problem::{Code, Problem};

/// A file as it is served.
pub(crate) struct Asset {
    content: &'static [u8],
    media_type: &'static str,
    path: LazyLock<String>,
}

macro_rules! asset {
    ($name:ident, $stem:literal, $extension:literal, $media_type:literal) => {
        pub(crate) static $name: Asset = Asset {
            content: include_bytes!(concat!("../../assets/", $stem, ".", $extension)),
            media_type: $media_type,
            path: LazyLock::new(|| {
                let hash = Sha256::digest(include_bytes!(concat!("../../assets/", $stem, ".", $extension)));
                format!("/assets/{}-{}.{}", $stem, HEXLOWER.encode(&hash[..8]), $extension)
            }),
        };
    };
}

asset!(STYLE, "console", "css", "text/css; charset=utf-8");
asset!(SCRIPT, "console", "js", "text/javascript; charset=utf-8");
asset!(LOGIN, "login", "js", "text/javascript; charset=utf-8");
asset!(VERIFY, "verify", "js", "text/javascript; charset=utf-8");
asset!(ICON, "icon", "svg", "image/svg+xml");

const ALL: [&Asset; 5] = [&STYLE, &SCRIPT, &LOGIN, &VERIFY, &ICON];

impl Asset {
    /// Where it is served.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }
}

pub(crate) async fn serve(Path(name): Path<String>) -> Result<Response, Problem> {
    let named = |asset: &&&Asset| asset.path().strip_prefix("/assets/") == Some(&name);
    let none = || {
        Problem::new(Code::NoSuchRoute, "there is no such file").hint("load the page again: it names the files of this version")
    };
    let asset = ALL.iter().find(named).ok_or_else(none)?;
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(asset.media_type)),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable")),
    ];
    Ok((headers, asset.content).into_response())
}
